"""The scaling study: the same training measured on more processes, and what follows from it.

Flow: grid -> measure (the trainer itself, in processes of its own) -> study (speedup, efficiency,
Amdahl's law) -> advice -> tables, pictures, page. Nothing is typed in: every figure is computed
from recorded seconds.
"""

from medtrain.scaling.grid import Case, Grid
from medtrain.scaling.session import StudyOptions, run_study
from medtrain.scaling.study import Measurement, Row, Study, study

__all__ = ["Case", "Grid", "Measurement", "Row", "Study", "StudyOptions", "run_study", "study"]
