"""Who am I, and all collectives: the only module that talks to torch.distributed.

Rank helpers answer 0 and 1 when nothing is initialised, so one process needs no special case.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from medtrain.errors import PeerLostError, UsageError
from medtrain.types import Rows

TIMEOUT = timedelta(minutes=20)  # longer than the slowest rank's evaluation or save


@dataclass(frozen=True, slots=True)
class World:
    """This process among all processes of the job.

    joined: who started them: "torchrun", "srun", or "alone" for nobody.
    """

    rank: int = 0
    local_rank: int = 0
    world_size: int = 1
    local_world_size: int = 1
    joined: str = "alone"

    @property
    def nodes(self) -> int:
        """Machines, all with as many processes as this one."""
        return max(1, self.world_size // self.local_world_size)


def discover(environ: Mapping[str, str] | None = None) -> World:
    """Read the launcher's variables: torchrun's, or srun's when its step has several tasks.

    A single-task step (an `srun --pty bash`, or sbatch itself) is no distributed job. Raises
    UsageError when a variable is missing or not a number.
    """
    env = os.environ if environ is None else environ
    if "WORLD_SIZE" in env and "RANK" in env:
        world_size = _number(env, "WORLD_SIZE")
        return World(
            rank=_number(env, "RANK"),
            local_rank=_number(env, "LOCAL_RANK", 0),
            world_size=world_size,
            local_world_size=_number(env, "LOCAL_WORLD_SIZE", world_size),
            joined="torchrun",
        )
    if _number(env, "SLURM_STEP_NUM_TASKS", 1) > 1:
        world_size = _number(env, "SLURM_STEP_NUM_TASKS")
        return World(
            rank=_number(env, "SLURM_PROCID"),
            local_rank=_number(env, "SLURM_LOCALID"),
            world_size=world_size,
            local_world_size=_tasks_here(env, world_size),
            joined="srun",
        )
    return World()


def initialise(world: World, device: torch.device, init_method: str | None = None) -> None:
    """Form the process group: gloo for the CPU, and beside it NCCL for CUDA tensors.

    init_method: a torch URL such as file:///path; None takes the launcher's address.
    """
    if init_method is None:
        init_method = _srun_address(os.environ) if world.joined == "srun" else "env://"
    is_cuda = device.type == "cuda"
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if is_cuda else "gloo",
        init_method=init_method,
        rank=world.rank,
        world_size=world.world_size,
        timeout=TIMEOUT,
        device_id=device if is_cuda else None,
    )


@contextmanager
def peers_needed() -> Iterator[None]:
    """Say in one line that another process has ended, in place of the transport's own error.

    Raises PeerLostError. The process that failed has told why; the others' tracebacks would
    only hide that.
    """
    try:
        yield
    except RuntimeError as error:
        if not _is_lost_peer(error):
            raise
        raise PeerLostError(
            f"rank {rank()} cannot go on: another process of this job has ended",
            hint="its own message, if it could leave one, says why",
        ) from None


def _is_lost_peer(error: BaseException | None) -> bool:
    """True for what gloo, NCCL and the store raise when the other side is gone."""
    if error is None:
        return False
    if isinstance(error, dist.DistBackendError | dist.DistNetworkError | dist.DistStoreError):
        return True
    # gloo raises plain RuntimeErrors; what names it is the source file in their text.
    is_gloo = isinstance(error, RuntimeError) and "gloo/transport" in str(error)
    return is_gloo or _is_lost_peer(error.__cause__)


def shutdown() -> None:
    """Leave the process group, if there is one."""
    if dist.is_initialized():
        dist.destroy_process_group()


def rank() -> int:
    """This process's number; 0 alone."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Number of processes; 1 alone."""
    return dist.get_world_size() if dist.is_initialized() else 1


def sum_over_ranks(tensor: torch.Tensor) -> torch.Tensor:
    """The sum over ranks, in place, on every rank."""
    if world_size() > 1:
        dist.all_reduce(tensor)
    return tensor


def broadcast(tensor: torch.Tensor, source: int) -> torch.Tensor:
    """Rank `source`'s values, in place, on every rank."""
    if world_size() > 1:
        dist.broadcast(tensor, source)
    return tensor


def max_over_ranks(value: int) -> int:
    """The largest value of any rank.

    Sent through the CPU's group, so that asking at every step does not make a GPU wait.
    """
    return largest([value])[0]


def largest(values: list[int]) -> list[int]:
    """For each of the values the largest that any rank has at its place."""
    if world_size() == 1:
        return values
    tensor = torch.tensor(values, dtype=torch.int64)
    dist.all_reduce(tensor, dist.ReduceOp.MAX)
    return [int(value) for value in tensor]


def gather_rows(rows: Rows) -> Rows:
    """All ranks' rows, rank after rank, on every rank; ranks may have any number, also none.

    Every rank must name the same columns with the same dtypes and trailing shapes.
    """
    if world_size() == 1:
        return rows
    count = len(next(iter(rows.values())))
    counts = [torch.zeros(1, dtype=torch.int64) for _ in range(world_size())]
    dist.all_gather(counts, torch.tensor([count], dtype=torch.int64))
    most = max(int(c) for c in counts)
    return {name: _gather_column(column, counts, most) for name, column in rows.items()}


def gather_numbers(mine: list[int]) -> list[list[int]]:
    """Every rank's list, rank after rank, on every rank; all as long as this one."""
    received = [torch.empty(len(mine), dtype=torch.int64) for _ in range(world_size())]
    if world_size() == 1:
        return [mine]
    dist.all_gather(received, torch.tensor(mine, dtype=torch.int64))
    return [[int(number) for number in numbers] for numbers in received]


def union_of_tensors(mine: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """All ranks' named CPU tensors on every rank; a name belongs to one rank."""
    names: list[Any] = [None] * world_size()
    dist.all_gather_object(names, [(k, tuple(v.shape), v.dtype) for k, v in mine.items()])
    union: dict[str, torch.Tensor] = {}
    for owner, listed in enumerate(names):
        for name, shape, dtype in listed:
            is_mine = owner == rank()
            tensor = mine[name] if is_mine else torch.empty(shape, dtype=dtype)
            union[name] = broadcast(tensor, owner)
    return union


def barrier() -> None:
    """Wait for all ranks."""
    max_over_ranks(0)


def _gather_column(column: np.ndarray, counts: list[torch.Tensor], most: int) -> np.ndarray:
    # Collectives want equal shapes: pad to the longest, cut afterwards.
    padded = np.zeros((most, *column.shape[1:]), column.dtype)
    padded[: len(column)] = column
    mine = torch.from_numpy(padded)
    received = [torch.empty_like(mine) for _ in counts]
    dist.all_gather(received, mine)
    parts = [part[: int(count)] for part, count in zip(received, counts, strict=True)]
    return torch.cat(parts).numpy()


def _tasks_here(env: Mapping[str, str], world_size: int) -> int:
    """Tasks on this node from SLURM_STEP_TASKS_PER_NODE, which looks like `2(x3),1`."""
    text = env.get("SLURM_STEP_TASKS_PER_NODE", "")
    counts: list[int] = []
    for part in filter(None, text.split(",")):
        match = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part)
        if match is None:
            raise UsageError(f"SLURM_STEP_TASKS_PER_NODE={text!r}: expected a list such as 2(x3),1")
        counts += [int(match[1])] * int(match[2] or 1)
    node = _number(env, "SLURM_NODEID", 0)
    return counts[node] if node < len(counts) else world_size


def _srun_address(env: Mapping[str, str]) -> str:
    """tcp://HOST:PORT of rank 0: MASTER_ADDR and MASTER_PORT, else from the SLURM step."""
    host = env.get("MASTER_ADDR") or first_host(env.get("SLURM_STEP_NODELIST", "localhost"))
    # Every task must name the same free port without talking: steps of different jobs on one
    # node get different ones from their job id.
    port = env.get("MASTER_PORT") or str(20000 + _number(env, "SLURM_JOB_ID", 0) % 20000)
    return f"tcp://{host}:{port}"


def first_host(nodelist: str) -> str:
    """The first name of a SLURM node list such as `gpu[03-05,9],login1`."""
    match = re.match(r"([^\[,]+)(?:\[([^\]-]+?)(?:[-,][^\]]*)?\])?", nodelist)
    if match is None:
        raise UsageError(f"cannot read the SLURM node list {nodelist!r}; set MASTER_ADDR")
    return match[1] + (match[2] or "")


def _number(env: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = env.get(name)
    if text is None:
        if default is None:
            raise UsageError(f"the launcher set no {name}; start through torchrun or srun")
        return default
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"{name}={text!r} is not a whole number") from None
