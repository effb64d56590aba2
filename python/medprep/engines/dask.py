"""Shards on a Dask cluster: local processes, or a scheduler that somebody else started.

A task is one shard, made with one thread; a task that is run twice writes the same bytes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from medprep.engines.job import Job, Progress, Stop
from medprep.errors import ExtraMissingError, MedprepError, UsageError
from medprep.plan import PlannedShard
from medprep.report import EngineResult

_POLL_S = 0.2  # how soon a stop is seen
_CONNECT_TIMEOUT_S = 30
_WORKERS_TIMEOUT_S = 120  # a queued cluster job may need a while to start its first worker
_AHEAD = 2  # tasks handed out per worker thread: a stop waits for no more than these


class _StartError(MedprepError):
    """Local workers did not start."""


def run_dask(
    job: Job, *, threads: int, scheduler: str, stop: Stop, progress: Progress
) -> EngineResult:
    """Make all shards with Dask.

    threads: number of worker processes of a local cluster; a remote one has its own number.
    scheduler: `local`, an address such as tcp://node1:8786, or the path of a scheduler file.
    Raises what a shard raised, UsageError when the scheduler cannot be reached.
    """
    distributed = _load()
    try:
        with _client(distributed, scheduler, min(threads, len(job.shards) or 1)) as client:
            return _run(distributed, client, job, stop, progress)
    except _StartError:
        if stop.is_set():  # the signal reached workers that were only starting
            return EngineResult(stopped=True)
        raise


def make_one_shard(job: Job, shard: PlannedShard) -> EngineResult:
    """The task: one shard in this process with one thread."""
    from medprep._core import StopFlag
    from medprep.engines.sequential import run_sequential

    return run_sequential(
        replace(job, shards=(shard,)), stop=StopFlag(), progress=lambda *counts: None
    )


def _run(
    distributed: ModuleType,
    client: Any,  # noqa: ANN401 (distributed is not typed)
    job: Job,
    stop: Stop,
    progress: Progress,
) -> EngineResult:
    waiting = list(reversed(job.shards))
    # Sent with every task, so without the lists that grow with the data set.
    light = replace(job, shards=(), plan=replace(job.plan, shards=(), failures=()))
    running: set[Any] = set()
    total = EngineResult()
    try:
        while running or (waiting and not stop.is_set()):
            window = _AHEAD * max(1, sum(client.nthreads().values()))
            while waiting and len(running) < window and not stop.is_set():
                running.add(client.submit(make_one_shard, light, waiting.pop(), pure=False))
            try:
                done, running = distributed.wait(
                    running, timeout=_POLL_S, return_when="FIRST_COMPLETED"
                )
            except TimeoutError:
                continue
            for future in done:
                total += _result(distributed, future)
            progress(total.images, total.failed, total.shards)
    except BaseException:
        client.cancel(list(running), force=True)
        raise
    return replace(total, stopped=bool(waiting))


def _result(distributed: ModuleType, future: Any) -> EngineResult:  # noqa: ANN401
    try:
        result: EngineResult = future.result()
    except distributed.KilledWorker:
        raise MedprepError(
            "a Dask worker died several times at the same shard, most likely out of memory",
            stage="engine",
            hint="use fewer --threads or a smaller --shard-size; finished shards are kept",
        ) from None
    return result


@contextmanager
def _client(distributed: ModuleType, scheduler: str, workers: int) -> Iterator[Any]:
    if scheduler == "local":
        with (
            tempfile.TemporaryDirectory(prefix="medprep-dask-") as scratch,
            _local_cluster(distributed, workers, scratch) as cluster,
            distributed.Client(cluster) as client,
        ):
            yield client
        return
    with _remote_client(distributed, scheduler) as client:
        try:
            client.wait_for_workers(1, timeout=_WORKERS_TIMEOUT_S)
        except TimeoutError:
            raise UsageError(
                f"--scheduler {scheduler}: no worker within {_WORKERS_TIMEOUT_S} s"
            ) from None
        yield client


def _local_cluster(distributed: ModuleType, workers: int, scratch: str) -> Any:  # noqa: ANN401
    """Worker processes that leave stop signals to us: Ctrl-C reaches the whole process group."""
    try:
        return distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address="127.0.0.1:0",  # its own port: several runs may share a machine
            worker_dashboard_address=None,
            local_directory=scratch,
            silence_logs=50,
            preload="medprep.engines.dask_worker",
        )
    except (RuntimeError, TimeoutError) as error:
        raise _StartError(
            f"local Dask workers did not start: {error}",
            stage="engine",
            hint="use --engine threads, or start a scheduler and name it with --scheduler",
        ) from error


def _remote_client(distributed: ModuleType, scheduler: str) -> Any:  # noqa: ANN401
    is_file = "://" not in scheduler and Path(scheduler).exists()
    if not is_file and ":" not in scheduler:
        raise UsageError(
            f"--scheduler {scheduler}: neither `local`, an address such as tcp://node1:8786, "
            "nor an existing scheduler file"
        )
    where = {"scheduler_file": scheduler} if is_file else {"address": scheduler}
    try:
        return distributed.Client(**where, timeout=_CONNECT_TIMEOUT_S)
    except (OSError, ValueError) as error:
        raise UsageError(f"--scheduler {scheduler}: cannot connect: {error}") from None


def _load() -> ModuleType:
    try:
        return import_module("distributed")
    except ImportError:
        raise ExtraMissingError(
            "engine 'dask' needs Dask, which is not installed",
            hint="pip install 'medprep[dask]', or use --engine threads",
        ) from None
