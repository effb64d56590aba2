"""Who schedules: `sequential`, `threads` (one machine) or `dask` (a cluster, or local processes).

The shard is the unit; any engine with any kernel makes the same shards.
"""

from __future__ import annotations

from medprep.engines.job import Job, Progress, Stop
from medprep.errors import UsageError
from medprep.report import EngineResult

ENGINE_NAMES = ("sequential", "threads", "dask")

__all__ = ["ENGINE_NAMES", "Job", "Progress", "Stop", "run_job"]


def run_job(
    job: Job,
    *,
    engine: str,
    threads: int,
    scheduler: str,
    stop: Stop,
    progress: Progress,
) -> EngineResult:
    """Make the shards of the job.

    threads: images in flight; `sequential` uses one, local dask as many processes.
    scheduler: for dask: `local`, an address or a scheduler file.
    Raises ImageError with on_error `fail`, StorageError, UsageError, ExtraMissingError.
    """
    # Imported here: dask is an extra, and its import takes a second.
    if engine == "sequential":
        from medprep.engines.sequential import run_sequential

        return run_sequential(job, stop=stop, progress=progress)
    if engine == "threads":
        from medprep.engines.threads import run_threads

        return run_threads(job, threads=threads, stop=stop, progress=progress)
    if engine == "dask":
        from medprep.engines.dask import run_dask

        return run_dask(job, threads=threads, scheduler=scheduler, stop=stop, progress=progress)
    raise UsageError(f"unknown engine {engine!r}", hint=f"engines: {', '.join(ENGINE_NAMES)}")
