"""What making a data set costs beside its time: CPU seconds and resident memory.

Every run is what `medprep shard` does, on a plan that is there already, in a process of its own
that does nothing else:

    python benches/python/run_cost.py SRC OUT THREADS
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_sets import plan_data_set, repeat_files
from medprep.errors import MedprepError
from medprep.options import DataOptions
from medprep.run import RunOptions, run_shard
from rounds import PeerError
from workloads import Workload, describe

THREADS = (1, 2)
FIXED_MIB = 32  # what a run may hold whatever the number of its threads
MIB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Runs with one number of threads.

    cpu_seconds: of all threads. peak_bytes: the most that was resident, above the process before.
    """

    threads: int
    images: int
    cpu_seconds: tuple[float, ...]
    peak_bytes: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCosts:
    """One workload; `costs` in the order of THREADS."""

    workload: Workload
    input: dict[str, Any]
    costs: tuple[Cost, ...]


def measure_run_costs(
    workload: Workload,
    files: Sequence[Path],
    *,
    images: int,
    rounds: int,
    is_real: bool,
    progress: Callable[[str], None] = lambda line: None,
) -> RunCosts:
    """Make a data set of `images` files with each number of threads, in turns.

    The given files are repeated as often as that takes; one round that is not counted warms up.
    Raises PeerError when a run fails.
    """
    found: dict[int, list[dict[str, Any]]] = {threads: [] for threads in THREADS}
    with tempfile.TemporaryDirectory(prefix="medprep-cost-") as folder:
        src = Path(folder) / "src"
        copies = repeat_files(files, src, images)
        for number in range(1 + rounds):
            for threads in THREADS:
                out = Path(folder) / f"out-{number}-{threads}"
                out.mkdir()
                plan_data_set(workload, src, out, len(copies), max(THREADS))
                measured = _in_a_process(src, out, threads)
                if number > 0:
                    found[threads].append(measured)
            progress(f"{workload.name}, cost: round {number} of {rounds} (0 warms up)")
        described = describe(copies, is_real=is_real)
    costs = tuple(
        Cost(
            threads=threads,
            images=each[0]["images"],
            cpu_seconds=tuple(one["cpu_seconds"] for one in each),
            peak_bytes=tuple(one["peak_bytes"] for one in each),
        )
        for threads, each in found.items()
    )
    return RunCosts(workload=workload, input=described, costs=costs)


def cost_rows(result: RunCosts) -> list[dict[str, Any]]:
    """One object a number of threads.

    of_one_thread: CPU time over that of one thread; per_thread_mib: what the peak is above
    FIXED_MIB, divided by the threads.
    """
    medians = [statistics.median(cost.cpu_seconds) for cost in result.costs]
    rows = []
    for cost, cpu in zip(result.costs, medians, strict=True):
        peak_mib = max(cost.peak_bytes) / MIB
        rows.append(
            {
                "threads": cost.threads,
                "cpu_ms_per_image": 1000 * cpu / cost.images,
                "of_one_thread": cpu / medians[0],
                "spread": (max(cost.cpu_seconds) - min(cost.cpu_seconds)) / cpu,
                "peak_mib": peak_mib,
                "per_thread_mib": max(0.0, peak_mib - FIXED_MIB) / cost.threads,
                "cpu_seconds": list(cost.cpu_seconds),
                "peak_bytes": list(cost.peak_bytes),
            }
        )
    return rows


def _in_a_process(src: Path, out: Path, threads: int) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, __file__, str(src), str(out), str(threads)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise PeerError(f"medprep with {threads} threads: {done.stderr.strip()}")
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def _resident_bytes(key: str) -> int:
    """VmRSS (now) or VmHWM (the most since the last reset) of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return 1024 * int(line.split()[1])
    raise PeerError(f"/proc/self/status has no {key}: this needs Linux")


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("src", type=Path, metavar="SRC")
    parser.add_argument("out", type=Path, metavar="OUT", help="holds the plan")
    parser.add_argument("threads", type=int, metavar="THREADS")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    """Run, and print what it cost as JSON."""
    arguments = parse(words)
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM := VmRSS, see proc(5)
    before, cpu_before = _resident_bytes("VmRSS"), time.process_time()
    try:
        options = RunOptions(threads=arguments.threads)
        report = run_shard(arguments.src, arguments.out, DataOptions(), options)
    except MedprepError as error:
        print(f"run_cost: {error}", file=sys.stderr)
        return 1
    cost = {
        "images": report.images,
        "cpu_seconds": time.process_time() - cpu_before,
        "peak_bytes": _resident_bytes("VmHWM") - before,
    }
    print(json.dumps(cost))
    return 0


if __name__ == "__main__":
    sys.exit(main())
