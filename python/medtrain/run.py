"""Run a job in this process: prepare it, hand it to a session, and say so when it fails."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from medtrain import distributed, machine, records
from medtrain.checkpoint import find
from medtrain.dataset import DataSet, open_trainable
from medtrain.distributed import World
from medtrain.errors import StorageError
from medtrain.job import Job
from medtrain.session import Session
from medtrain.stop import StopFlag
from medtrain.types import JsonObject


@dataclass(frozen=True, slots=True)
class Outcome:
    """result: the keys of `--json`; signal: 0, or the signal that stopped the run."""

    result: JsonObject
    signal: int


def check(job: Job) -> DataSet:
    """Refuse what cannot be trained, before any process is started."""
    data = open_trainable(job.data, job.config)
    if job.resume not in ("auto", "never"):
        find(Path(job.resume))
    return data


def train(job: Job, world: World, stop: StopFlag, *, init_method: str | None = None) -> Outcome:
    """Run the job in this process, one of `world`; returns the same outcome on every rank.

    init_method: how several processes meet (see `distributed.initialise`). Raises MedprepError
    for what a user can mend.
    """
    machine.allow_many_files()
    data = check(job)
    device = _prepare_process(job, world)
    if job.strategy != "serial":
        distributed.initialise(world, device, init_method)
    # Ranks read their clocks at different moments; all take the latest.
    job = job.with_out(distributed.max_over_ranks(int(time.time())))
    run = job.run if world.rank == 0 else None
    if run is not None:
        make_run_folder(run)
    try:
        with distributed.peers_needed():
            return Outcome(*Session(job, data, device, run).train(stop))
    except BaseException as error:
        if run is not None:
            _note_failure(run, job, error)
        distributed.shutdown()
        raise


def make_run_folder(run: Path) -> None:
    """Make RUN; raises StorageError where that cannot be."""
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"--out {run}: cannot make the run folder: {error.strerror}", path=str(run)
        ) from None


def _prepare_process(job: Job, world: World) -> torch.device:
    """Threads, device and determinism of this process."""
    torch.set_num_threads(job.threads(world, machine.usable_cores()))
    device = torch.device("cpu")
    if job.device == "cuda":
        device = torch.device("cuda", world.local_rank)
        torch.cuda.set_device(device)
        torch.backends.cudnn.benchmark = not job.config.train.deterministic
    if job.config.train.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    return device


def _note_failure(run: Path, job: Job, error: BaseException) -> None:
    status = records.read_status(run)
    # What was done or stopped before is so still: this job was refused before it began.
    if status.get("state") in ("done", "stopped"):
        return
    counts = {"epoch": 0, "epochs": job.config.train.epochs}
    counts |= {key: status[key] for key in counts if isinstance(status.get(key), int)}
    records.write_status(run, "failed", **counts, message=f"{type(error).__name__}: {error}")
