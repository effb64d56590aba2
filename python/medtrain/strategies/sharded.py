"""The tensor files of a checkpoint of which every process writes its own part, in parallel.

Through torch's distributed checkpoint (DCP) with its safetensors storage, so no pickle is written
or read. That a folder is whole and unaltered is the business of `checkpoint`, which hashes it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import (
    HuggingFaceStorageReader,
    HuggingFaceStorageWriter,
)
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.fsdp import FSDPModule

from medtrain.errors import StorageError
from medtrain.strategies.base import Tensors, TrainingState
from medtrain.strategies.state import SEPARATOR, optimizer_slots, set_slots

_MODEL, _OPTIMIZER = "model::", "optimizer::"


class FsdpShards:
    """The shards that FSDP's processes hold, to and from a folder."""

    def save(self, folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer | None) -> None:
        """Write this rank's part into the empty `folder`, forced to the disk; all ranks call it.

        Raises StorageError on every rank when one cannot write.
        """
        reshard(model)
        tensors = {_MODEL + name: value.detach() for name, value in model.state_dict().items()}
        if optimizer is not None:
            slots = optimizer_slots(model, optimizer)
            tensors |= {_OPTIMIZER + name: value for name, value in slots}
        with _told_in_one_line(folder, "write"):
            save(
                tensors,
                storage_writer=HuggingFaceStorageWriter(str(folder), save_distributed=True),
            )

    def load(self, folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer | None) -> None:
        """Each rank reads the parts that are its own now, however many ranks wrote them.

        All ranks call it. Raises StorageError on every rank when one cannot read.
        """
        reshard(model)
        tensors: Tensors = {_MODEL + name: value for name, value in model.state_dict().items()}
        with _told_in_one_line(folder, "read"):
            slots = {} if optimizer is None else _empty_slots(folder, model)
            load(
                {**tensors, **{_OPTIMIZER + name: value for name, value in slots.items()}},
                storage_reader=HuggingFaceStorageReader(str(folder)),
            )
        if optimizer is not None:
            optimizer.state.clear()
            set_slots(optimizer, dict(model.named_parameters()), slots)


def consolidate(folder: Path) -> TrainingState:
    """Whole tensors in one process, without a process group: what a normal checkpoint holds."""
    with _told_in_one_line(folder, "read"), warnings.catch_warnings():
        # It warns of doing what `no_dist` asks for.
        warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)
        whole: Tensors = {
            name: torch.empty(stored.size, dtype=stored.properties.dtype)
            for name, stored in _stored(folder).items()
        }
        load(whole, storage_reader=HuggingFaceStorageReader(str(folder)), no_dist=True)
    return TrainingState(_with_prefix(whole, _MODEL), _with_prefix(whole, _OPTIMIZER))


def reshard(model: nn.Module) -> None:
    """Free what an evaluation has left gathered: parameters are shards again."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def _empty_slots(folder: Path, model: nn.Module) -> Tensors:
    """Room for what the optimizer had remembered, cut as the parameters are."""
    parameters = dict(model.named_parameters())
    slots: Tensors = {}
    for name, stored in _stored(folder).items():
        if name.startswith(_OPTIMIZER):
            key = name.removeprefix(_OPTIMIZER)
            of = parameters[key.partition(SEPARATOR)[0]].detach()
            slots[key] = torch.empty_like(of) if len(stored.size) else torch.empty(())
    return slots


def _stored(folder: Path) -> dict[str, TensorStorageMetadata]:
    listed = HuggingFaceStorageReader(str(folder)).read_metadata().state_dict_metadata
    return {k: v for k, v in listed.items() if isinstance(v, TensorStorageMetadata)}


def _with_prefix(tensors: Tensors, prefix: str) -> Tensors:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


@contextmanager
def _told_in_one_line(folder: Path, what: str) -> Iterator[None]:
    """DCP tells all ranks what failed on some of them, as a BaseException with tracebacks."""
    try:
        yield
    except CheckpointException as error:
        reasons = "; ".join(
            f"rank {rank}: {cause}" for rank, (cause, _) in sorted(error.failures.items())
        )
        raise StorageError(
            f"{folder}: cannot {what} a part of the checkpoint: {reasons}", path=str(folder)
        ) from None
