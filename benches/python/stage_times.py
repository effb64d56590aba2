"""Where the time of `medprep shard` goes: the seconds per stage that it reports, on one thread."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_sets import plan_data_set, repeat_files
from medprep.options import DataOptions
from medprep.run import RunOptions, run_shard
from workloads import Workload

# In the order a sample meets them. Waiting for the disk is left out: it goes on beside the others.
STAGES = ("read", "decode", "resize", "clahe", "gamma", "median", "hash", "write", "close")


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTimes:
    """One workload on one thread.

    seconds: of a whole run, one a round. stages: the seconds of each stage, one mapping a round.
    """

    workload: Workload
    images: int
    seconds: tuple[float, ...]
    stages: tuple[Mapping[str, float], ...]


def measure_stages(
    workload: Workload,
    files: Sequence[Path],
    *,
    images: int,
    rounds: int,
    progress: Callable[[str], None] = lambda line: None,
) -> StageTimes:
    """Make a data set of `images` files again and again, repeating the files as often as it takes.

    One round that is not counted warms up.
    """
    reports = []
    with tempfile.TemporaryDirectory(prefix="medprep-stages-") as folder:
        src = Path(folder) / "src"
        copies = repeat_files(files, src, images)
        for number in range(1 + rounds):
            out = Path(folder) / f"out-{number}"
            out.mkdir()
            plan_data_set(workload, src, out, len(copies), 1)
            reports.append(run_shard(src, out, DataOptions(), RunOptions(threads=1)))
            progress(f"{workload.name}, stages: round {number} of {rounds} (0 warms up)")
    counted = reports[1:]
    return StageTimes(
        workload=workload,
        images=images,
        seconds=tuple(report.seconds for report in counted),
        stages=tuple(report.stages for report in counted),
    )


def stage_row(result: StageTimes) -> dict[str, Any]:
    """Time per image and what part of it each stage takes, from medians over the rounds.

    shares: of a stage of this workload; `rest` is what no stage counts (start, records, manifest,
    and the last shard's way to the disk).
    """
    whole = statistics.median(result.seconds)
    shares = {
        stage: statistics.median(stages.get(stage, 0.0) for stages in result.stages) / whole
        for stage in STAGES
    }
    return {
        "workload": result.workload.name,
        "images": result.images,
        "ms_per_image": 1000 * whole / result.images,
        "spread": (max(result.seconds) - min(result.seconds)) / whole,
        "shares": {**shares, "rest": max(0.0, 1 - sum(shares.values()))},
        "seconds": list(result.seconds),
        "stages": [dict(stages) for stages in result.stages],
    }
