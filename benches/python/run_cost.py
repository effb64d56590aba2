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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from data_sets import plan_data_set, repeat_files
from medprep.errors import MedprepError
from medprep.options import DataOptions
from medprep.run import RunOptions, run_shard
from rounds import PeerError
from workloads import Workload, describe


class Way(NamedTuple):
    """How many processes at once make a data set each, with how many threads each."""

    threads: int
    processes: int = 1


# Two processes share nothing but the machine: what they cost more than one is the machine's doing
# (cores that share units or caches), and would be so with the best of threads.
WAYS = (Way(threads=1), Way(threads=2), Way(threads=1, processes=2))
FIXED_MIB = 32  # what a run may hold whatever the number of its threads
MIB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Runs one way.

    images: of all processes. cpu_seconds: of all threads and processes. peak_bytes: the most that
    was resident in a process, above what it held before.
    """

    way: Way
    images: int
    cpu_seconds: tuple[float, ...]
    peak_bytes: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCosts:
    """One workload; `costs` in the order of WAYS."""

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
    """Make a data set of `images` files each way, in turns.

    The given files are repeated as often as that takes; one round that is not counted warms up.
    Raises PeerError when a run fails.
    """
    found: dict[Way, list[list[dict[str, Any]]]] = {way: [] for way in WAYS}
    most_threads = max(way.threads for way in WAYS)
    with tempfile.TemporaryDirectory(prefix="medprep-cost-") as folder:
        src = Path(folder) / "src"
        copies = repeat_files(files, src, images)
        for number in range(1 + rounds):
            for way in WAYS:
                begin = f"out-{number}-{way.threads}-{way.processes}"
                outs = [Path(folder) / f"{begin}-{process}" for process in range(way.processes)]
                for out in outs:
                    out.mkdir()
                    plan_data_set(workload, src, out, len(copies), most_threads)
                measured = _in_processes(src, outs, way.threads)
                if number > 0:
                    found[way].append(measured)
            progress(f"{workload.name}, cost: round {number} of {rounds} (0 warms up)")
        described = describe(copies, is_real=is_real)
    costs = tuple(
        Cost(
            way=way,
            images=sum(process["images"] for process in each[0]),
            cpu_seconds=tuple(sum(p["cpu_seconds"] for p in processes) for processes in each),
            peak_bytes=tuple(max(p["peak_bytes"] for p in processes) for processes in each),
        )
        for way, each in found.items()
    )
    return RunCosts(workload=workload, input=described, costs=costs)


def cost_rows(result: RunCosts) -> list[dict[str, Any]]:
    """One object a way.

    of_one_thread: CPU time per image over that of one thread; per_thread_mib: what the peak is
    above FIXED_MIB, divided by the threads.
    """
    medians = [statistics.median(cost.cpu_seconds) / cost.images for cost in result.costs]
    rows = []
    for cost, cpu in zip(result.costs, medians, strict=True):
        peak_mib = max(cost.peak_bytes) / MIB
        rows.append(
            {
                "threads": cost.way.threads,
                "processes": cost.way.processes,
                "cpu_ms_per_image": 1000 * cpu,
                "of_one_thread": cpu / medians[0],
                "spread": (max(cost.cpu_seconds) - min(cost.cpu_seconds)) / cost.images / cpu,
                "peak_mib": peak_mib,
                "per_thread_mib": max(0.0, peak_mib - FIXED_MIB) / cost.way.threads,
                "cpu_seconds": list(cost.cpu_seconds),
                "peak_bytes": list(cost.peak_bytes),
            }
        )
    return rows


def _in_processes(src: Path, outs: Sequence[Path], threads: int) -> list[dict[str, Any]]:
    """What each of the processes measured that make `outs` at the same time."""
    with ThreadPoolExecutor(len(outs)) as pool:
        return list(pool.map(lambda out: _in_a_process(src, out, threads), outs))


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
