"""One image after the other, in this thread: the baseline, and what a Dask task runs."""

from __future__ import annotations

from medprep.engines.core import run_in_core
from medprep.engines.job import Job, Progress, Stop
from medprep.report import EngineResult


def run_sequential(job: Job, *, stop: Stop, progress: Progress) -> EngineResult:
    """Make all shards with one thread."""
    if job.kernel == "rust":
        return run_in_core(job, threads=1, stop=stop, progress=progress)
    from medprep.engines.python_rows import run_in_python  # as in `threads`

    return run_in_python(job, pool=None, ahead=1, stop=stop, progress=progress)
