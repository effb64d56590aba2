"""All cores of one machine: the core's own pool, or a thread pool for kernel python."""

from __future__ import annotations

from medprep.engines.core import run_in_core
from medprep.engines.job import Job, Progress, Stop
from medprep.report import EngineResult

_AHEAD = 3  # images in flight per thread: finished ones wait for their turn in the shard


def run_threads(job: Job, *, threads: int, stop: Stop, progress: Progress) -> EngineResult:
    """Make all shards with `threads` threads across images."""
    if job.kernel == "rust":
        return run_in_core(job, threads=threads, stop=stop, progress=progress)
    # Imported here: kernel rust needs neither, and a short run would notice.
    from concurrent.futures import ThreadPoolExecutor

    from medprep.engines.python_rows import run_in_python

    pool = ThreadPoolExecutor(threads, thread_name_prefix="medprep")
    try:
        return run_in_python(job, pool=pool, ahead=_AHEAD * threads, stop=stop, progress=progress)
    finally:
        pool.shutdown(cancel_futures=True)
