"""Run engine and kernel pairs on the same plan, interleaved, and keep the raw seconds.

A round runs every configuration once, in an order of its own, so that a machine that slows down
for a while slows all of them. The first round warms up (page cache, imports, CPU clocks) and is
not counted. What is timed is the work of `medprep shard` on a finished plan: read, decode,
process, write, fsync, manifest.
"""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from medprep.bench.arithmetic import Configuration, Measurement
from medprep.errors import ExtraMissingError, VerificationError
from medprep.plan import private_folder

WARM_UP_ROUNDS = 1
CLUSTER_TIMEOUT_S = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one run made: stored images and the digest of the data set."""

    images: int
    digest: str


class Run(Protocol):
    """Makes the shards of the plan in `out` with one configuration."""

    def __call__(self, configuration: Configuration, out: Path, scheduler: str | None, /) -> Result:
        """scheduler: address of a running cluster for engine dask, None otherwise."""
        ...


@dataclass
class _Record:
    seconds: list[float] = field(default_factory=list)
    startup: list[float] = field(default_factory=list)
    result: Result | None = None


def measure(
    configurations: Sequence[Configuration],
    *,
    run: Run,
    plan: Path,
    repeats: int,
    scratch: Path | None = None,
    seed: int = 0,
    progress: Callable[[str], None] = lambda text: None,
) -> list[Measurement]:
    """Measure every configuration `repeats` times, after one warm-up round.

    plan: a folder with the files of a finished plan; each run works on a fresh copy, in a folder
    under `scratch` (default: the system's) that is deleted afterwards. progress: gets one line per
    run. Raises VerificationError as soon as two runs make different data sets.
    """
    records = {configuration: _Record() for configuration in configurations}
    order = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="medprep-bench-", dir=scratch) as folder:
        for number in range(WARM_UP_ROUNDS + repeats):
            for configuration in order.sample(configurations, len(configurations)):
                out = Path(folder) / "out"
                shutil.copytree(plan, out)
                if private_folder(plan).exists():
                    shutil.copytree(private_folder(plan), private_folder(out))
                seconds, startup, result = _run_once(configuration, run, out)
                shutil.rmtree(out)
                _keep_same_work(records, configuration, result)
                is_counted = number >= WARM_UP_ROUNDS
                if is_counted:
                    records[configuration].seconds.append(seconds)
                    if startup is not None:
                        records[configuration].startup.append(startup)
                name = f"round {number - WARM_UP_ROUNDS + 1} of {repeats}"
                progress(f"{name if is_counted else 'warm-up'}: {configuration}: {seconds:.2f} s")
    return [_measurement(*item) for item in records.items()]


def _run_once(
    configuration: Configuration, run: Run, out: Path
) -> tuple[float, float | None, Result]:
    """Seconds of the work, seconds of the cluster's start-up (None without one), the result."""
    if configuration.engine != "dask":
        seconds, result = _timed(configuration, run, out, None)
        return seconds, None, result
    with local_cluster(configuration) as (address, startup):
        seconds, result = _timed(configuration, run, out, address)
    return seconds, startup, result


def _timed(
    configuration: Configuration, run: Run, out: Path, scheduler: str | None
) -> tuple[float, Result]:
    start = time.perf_counter()
    result = run(configuration, out, scheduler)
    return time.perf_counter() - start, result


@contextmanager
def local_cluster(configuration: Configuration) -> Iterator[tuple[str, float]]:
    """A Dask cluster of single-thread worker processes on this machine.

    Yields its address and the seconds until every worker had imported what it needs. Raises
    ExtraMissingError without dask.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise ExtraMissingError(
            "engine 'dask' needs dask and distributed, which are not installed",
            hint="pip install 'medprep[dask]', or leave dask out of --engines",
        ) from None
    start = time.perf_counter()
    with (
        tempfile.TemporaryDirectory(prefix="medprep-bench-dask-") as folder,
        LocalCluster(
            n_workers=configuration.threads,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            local_directory=folder,
        ) as cluster,
        Client(cluster) as client,
    ):
        client.wait_for_workers(configuration.threads, timeout=CLUSTER_TIMEOUT_S)
        client.run(load_kernel, configuration.kernel)
        yield cluster.scheduler_address, time.perf_counter() - start


def load_kernel(name: str) -> None:
    """Import in a worker what the kernel will need, so that no run pays for it."""
    if name == "python":
        from medprep.kernels.python import load_opencv

        load_opencv()


def _keep_same_work(
    records: dict[Configuration, _Record], configuration: Configuration, result: Result
) -> None:
    """Note the result; all runs, warm-up included, must have made the same data set."""
    for other, record in records.items():
        if record.result is not None and record.result != result:
            raise VerificationError(
                f"bench refused: {configuration} made {result.images} images with digest "
                f"{result.digest[:16]}, but {other} made {record.result.images} with "
                f"{record.result.digest[:16]}",
                stage="bench",
                hint="times of different work cannot be compared; please report this",
            )
    records[configuration].result = result


def _measurement(configuration: Configuration, record: _Record) -> Measurement:
    assert record.result is not None  # every configuration ran in the warm-up round
    return Measurement(
        configuration=configuration,
        seconds=tuple(record.seconds),
        images=record.result.images,
        digest=record.result.digest,
        startup_seconds=tuple(record.startup),
    )
