"""Start the workers of a job on this machine through torch's elastic launcher."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NamedTuple

from medtrain import machine, records
from medtrain.distributed import World
from medtrain.errors import UsageError
from medtrain.job import Job
from medtrain.stop import SIGNALS

if TYPE_CHECKING:
    from torch.distributed.launcher.api import LaunchConfig

_SAVE_S = 600  # a worker may take this long to finish its step and save after a signal
PARENT = "MEDTRAIN_PARENT"
"""Environment variable by which a worker knows whose death is its own."""
COMMAND = "MEDTRAIN_COMMAND"
"""Environment variable with the command line that people typed, as a JSON list."""


class Ended(NamedTuple):
    """How a launched job has ended: the exit code for the shell, and why when it failed."""

    code: int
    error: str | None = None


class _SignalledEarlyError(Exception):
    """A signal that came before there was a worker to pass it on to."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def launch(job: Job) -> Ended:
    """Run `job.processes` workers until they end.

    A signal is passed on to the workers, which save together; a second one ends them at once.
    """
    with _early_signals():
        try:
            return _launch(job)
        except _SignalledEarlyError as early:
            return _after_signal(job, early.number)


def _launch(job: Job) -> Ended:
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import elastic_launch

    threads = job.threads(World(local_world_size=job.processes), machine.usable_cores())
    # Workers' own numeric libraries start with what the job gives them, not with all cores.
    os.environ["OMP_NUM_THREADS"] = str(threads)
    os.environ[PARENT] = str(os.getpid())
    os.environ[COMMAND] = json.dumps(job.command)
    if job.verbosity <= 0:
        logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="medtrain-") as folder:
        config_file = Path(folder) / "config.yaml"
        job.config.save(config_file)
        command = [sys.executable, "-u", "-m", "medtrain", *job.worker_arguments(config_file)]
        try:
            elastic_launch(_elastic_config(job), command[0])(*command[1:])
        except SignalException as stopped:
            return _after_signal(job, stopped.sigval)
        except ChildFailedError as failed:
            first = min(failed.failures.values(), key=lambda f: f.timestamp)
            return Ended(_exit_code(first.exitcode), _note_failure(job))
        finally:
            del os.environ[PARENT], os.environ[COMMAND]
    return Ended(0)


def _elastic_config(job: Job) -> LaunchConfig:
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.launcher.api import LaunchConfig

    where = _meeting_point(job.nodes)
    return LaunchConfig(
        min_nodes=job.nodes,
        max_nodes=job.nodes,
        nproc_per_node=job.processes,
        max_restarts=0,
        logs_specs=DefaultLogsSpecs(),
        signals_to_handle="SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1,SIGUSR2",
        shutdown_timeout=_SAVE_S,
        rdzv_backend="c10d",
        rdzv_endpoint=where.endpoint,
        run_id=where.run_id,
        local_addr=where.local_addr,
    )


@contextmanager
def _early_signals() -> Iterator[None]:
    """Let a signal raise until the elastic agent takes over, which does the same."""

    def raise_it(number: int, _frame: FrameType | None) -> None:
        raise _SignalledEarlyError(number)

    before = {number: signal.signal(number, raise_it) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def die_with_parent() -> None:
    """In a worker of ours: be killed when the launcher dies, so that none is left behind."""
    parent = os.environ.get(PARENT)
    if parent is None:
        return
    import ctypes

    set_parent_death_signal = 1  # PR_SET_PDEATHSIG
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
    if os.getppid() != int(parent):
        os._exit(1)  # it died before the line above


def typed_command() -> tuple[str, ...]:
    """The command line that people typed, also in a worker."""
    stated = os.environ.get(COMMAND)
    return tuple(json.loads(stated)) if stated else tuple(sys.argv)


class _MeetingPoint(NamedTuple):
    endpoint: str
    run_id: str
    local_addr: str | None


def _meeting_point(nodes: int) -> _MeetingPoint:
    """Where the workers meet: on one machine any free port, else MASTER_ADDR:MASTER_PORT."""
    if nodes == 1:
        return _MeetingPoint("localhost:0", uuid.uuid4().hex, "127.0.0.1")
    host, port = os.environ.get("MASTER_ADDR"), os.environ.get("MASTER_PORT")
    if not host or not port:
        raise UsageError(
            f"--nodes {nodes}: the machines do not know where to meet",
            hint="start with srun or torchrun, or set MASTER_ADDR and MASTER_PORT on all of them",
        )
    return _MeetingPoint(f"{host}:{port}", os.environ.get("SLURM_JOB_ID", "medtrain"), None)


def _after_signal(job: Job, number: int) -> Ended:
    state = records.read_status(job.run).get("state")
    if state == "done":
        return Ended(0)
    if state == "running":
        why = f"ended by signal {number} before it could save"
        return Ended(128 + number, _note_failure(job, why))
    stopped = 130 if number == signal.SIGINT else 75
    if state == "stopped":
        return Ended(stopped)
    # No worker had begun: nothing is lost, and the same command starts anew.
    why = f"stopped by signal {number} before training began"
    epochs = job.config.train.epochs
    records.write_status(job.run, "stopped", epoch=0, epochs=epochs, message=why)
    return Ended(stopped, why)


def _note_failure(job: Job, why: str = "a worker process was killed") -> str:
    """The reason why a job failed; `why`, when a worker that was killed could not say so."""
    status = records.read_status(job.run)
    if status.get("state") == "running":
        counts = {"epoch": status["epoch"], "epochs": status["epochs"]}
        records.write_status(job.run, "failed", **counts, message=why)
        return why
    return str(status.get("message", why)) if status.get("state") == "failed" else why


def _exit_code(code: int) -> int:
    """A worker's exit code as a shell's: negative means killed by that signal."""
    return 128 - code if code < 0 else code
