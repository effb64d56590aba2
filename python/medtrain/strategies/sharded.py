"""Sharded checkpoints: every process writes its own part, in parallel, as safetensors.

Through torch's distributed checkpoint (DCP) with its safetensors storage, so no pickle is written
or read. A folder is whole when `index.json` is there, which names every file with its SHA-256
and is written last. `consolidate` makes the whole tensors of a normal checkpoint of it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import torch
from torch import nn
from torch.distributed.checkpoint.hf_storage import (
    HuggingFaceStorageReader,
    HuggingFaceStorageWriter,
)
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from medtrain import distributed, files
from medtrain.errors import VerificationError
from medtrain.strategies.base import Tensors, TrainingState
from medtrain.strategies.state import SEPARATOR, optimizer_slots, set_slots

INDEX = "index.json"
_MODEL, _OPTIMIZER = "model::", "optimizer::"


def save_sharded(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Write the model and optimizer as they are cut now; all ranks must call it.

    An older checkpoint of that name is replaced at the very end, in one rename.
    """
    temporary = folder.with_name(f".{folder.name}.tmp-sharded")
    if distributed.rank() == 0:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
    distributed.barrier()
    save(
        _named(model, optimizer),
        storage_writer=HuggingFaceStorageWriter(str(temporary), save_distributed=True),
    )
    distributed.barrier()
    if distributed.rank() == 0:
        _seal(temporary)
        if folder.exists():
            old = files.temporary_sibling(folder)
            folder.rename(old)
            temporary.rename(folder)
            shutil.rmtree(old)
        else:
            temporary.rename(folder)
    distributed.barrier()


def load_sharded(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer | None) -> None:
    """Each rank reads the parts that are its own now, however many processes wrote them.

    All ranks must call it. Raises VerificationError when the folder is torn or altered.
    """
    _verify(folder)
    tensors: Tensors = {_MODEL + name: value for name, value in model.state_dict().items()}
    slots = _empty_slots(folder, model) if optimizer is not None else {}
    load(
        {**tensors, **{_OPTIMIZER + name: value for name, value in slots.items()}},
        storage_reader=HuggingFaceStorageReader(str(folder)),
    )
    if optimizer is not None:
        optimizer.state.clear()
        set_slots(optimizer, dict(model.named_parameters()), slots)


def consolidate(folder: Path) -> TrainingState:
    """Whole tensors in one process, without a process group: what a normal checkpoint holds.

    Raises VerificationError when the folder is torn or altered.
    """
    _verify(folder)
    whole: Tensors = {
        name: torch.empty(stored.size, dtype=stored.properties.dtype)
        for name, stored in _stored(folder).items()
    }
    load(whole, storage_reader=HuggingFaceStorageReader(str(folder)), no_dist=True)
    return TrainingState(_with_prefix(whole, _MODEL), _with_prefix(whole, _OPTIMIZER))


def _named(model: nn.Module, optimizer: torch.optim.Optimizer) -> Tensors:
    tensors = {_MODEL + name: value.detach() for name, value in model.state_dict().items()}
    slots = {_OPTIMIZER + name: value for name, value in optimizer_slots(model, optimizer)}
    return tensors | slots


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


def _seal(folder: Path) -> None:
    found = {file.name: _digest(file) for file in sorted(folder.iterdir())}
    for name in found:
        files.sync(folder / name)
    files.write_json(folder / INDEX, {"schema": 1, "files": found})


def _verify(folder: Path) -> None:
    try:
        listed = json.loads((folder / INDEX).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError):
        raise VerificationError(
            f"{folder}: no readable {INDEX}, so the sharded checkpoint is not whole"
        ) from None
    for name, digest in listed.items():
        file = folder / name
        if not file.is_file():
            raise VerificationError(f"{file}: missing, the sharded checkpoint is not whole")
        if _digest(file) != digest:
            raise VerificationError(f"{file}: altered, its SHA-256 does not match {INDEX}")


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
