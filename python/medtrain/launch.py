"""Start the workers of a job on this machine through torch's elastic launcher."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import tempfile
import uuid
from pathlib import Path
from typing import NamedTuple

from medtrain import machine, records
from medtrain.distributed import World
from medtrain.errors import UsageError
from medtrain.job import Job

_SAVE_S = 600  # a worker may take this long to finish its step and save after a signal
PARENT = "MEDTRAIN_PARENT"
"""Environment variable by which a worker knows whose death is its own."""
COMMAND = "MEDTRAIN_COMMAND"
"""Environment variable with the command line that people typed, as a JSON list."""


def launch(job: Job) -> int:
    """Run `job.processes` workers until they end; returns the exit code for the shell.

    A signal is passed on to the workers, which save together; a second one ends them at once.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    where = _meeting_point(job.nodes)
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
        config = LaunchConfig(
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
        command = [sys.executable, "-u", "-m", "medtrain", *job.worker_arguments(config_file)]
        try:
            elastic_launch(config, command[0])(*command[1:])
        except SignalException as stopped:
            return _after_signal(job, stopped.sigval)
        except ChildFailedError as failed:
            _note_failure(job)
            return _exit_code(min(failed.failures.values(), key=lambda f: f.timestamp).exitcode)
    return 0


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


def _after_signal(job: Job, number: signal.Signals) -> int:
    state = records.read_status(job.run).get("state")
    if state == "done":
        return 0
    if state == "stopped":
        return 130 if number == signal.SIGINT else 75
    return 128 + int(number)


def _note_failure(job: Job) -> None:
    """A worker that was killed could not say so itself."""
    status = records.read_status(job.run)
    if status.get("state") == "running":
        counts = {"epoch": status["epoch"], "epochs": status["epochs"]}
        records.write_status(job.run, "failed", **counts, message="a worker process was killed")


def _exit_code(code: int) -> int:
    """A worker's exit code as a shell's: negative means killed by that signal."""
    return 128 - code if code < 0 else code
