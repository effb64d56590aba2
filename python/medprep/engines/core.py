"""Hand a whole job to the Rust core: one call, the GIL released until it returns."""

from __future__ import annotations

import json

from medprep import _core
from medprep.engines.job import Job, Progress, Stop
from medprep.report import EngineResult


def run_in_core(job: Job, *, threads: int, stop: Stop, progress: Progress) -> EngineResult:
    """Make all shards of the job in the core's pool of `threads` threads."""
    flag = stop if isinstance(stop, _core.StopFlag) else _core.StopFlag()

    def report(done: int, failed: int, shards_done: int) -> None:
        # The core polls in slices of 100 ms; a stop that is not its own flag is passed on there.
        if stop.is_set():
            flag.set()
        progress(done, failed, shards_done)

    result = json.loads(_core.run_shards(job.core_json(threads=threads), flag, report))
    return EngineResult(
        images=result["images"],
        failed=result["failed"],
        shards=len(result["records"]),
        stages=result["stages"],
        stopped=result["stopped"],
    )
