"""What is learned: the loss of a batch, the rows of an evaluation, the metrics of rows."""

from medtrain.tasks.base import Forward, Task
from medtrain.tasks.classify import Classify

__all__ = ["Classify", "Forward", "Task"]
