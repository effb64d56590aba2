"""Checkpoints that are whole, hashed and bound to their data, or refused.

RUN/checkpoints/{last,previous,best}/ hold model.safetensors, optimizer.safetensors and
state.json. A checkpoint is written under a temporary name, forced to the disk and renamed;
`last` becomes `previous` first, so one valid copy always survives. state.json carries the
SHA-256 of both tensor files and of itself, and all three are verified on loading.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from medtrain import files
from medtrain.errors import CheckpointError, StorageError, UsageError
from medtrain.strategies.base import TrainingState
from medtrain.types import JsonObject

FOLDER = "checkpoints"
MODEL, OPTIMIZER, STATE = "model.safetensors", "optimizer.safetensors", "state.json"
SCHEMA = 1
_SEAL = "sha256"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A verified checkpoint: its folder, the JSON of its state, and its tensors."""

    path: Path
    state: JsonObject
    tensors: TrainingState


class CheckpointStore:
    """The checkpoints of one run folder. Only rank 0 writes; all ranks may read."""

    def __init__(self, run: Path) -> None:
        self.folder = run / FOLDER

    def exists(self) -> bool:
        """True when anything was saved here."""
        return any((self.folder / name).exists() for name in ("last", "previous"))

    def clear(self) -> None:
        """Forget an earlier run's checkpoints."""
        if self.folder.exists():
            shutil.rmtree(self.folder)

    def save(self, tensors: TrainingState, state: JsonObject, *, best: bool) -> None:
        """Write `last`, and a copy of it as `best`; raises StorageError when that fails.

        The folder keeps the modes of the user's umask: groups on shared storage can read it.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._remove_leftovers()
            temporary = files.temporary_sibling(self.folder / "last")
            _write(temporary, tensors, state)
            last, previous = self.folder / "last", self.folder / "previous"
            if last.exists():
                if previous.exists():
                    shutil.rmtree(previous)
                last.rename(previous)
            temporary.rename(last)
            files.sync(self.folder)
            if best:
                self._copy_to_best(last)
        except (OSError, SafetensorError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise StorageError(
                f"{self.folder}: cannot save a checkpoint: {reason}",
                path=str(self.folder),
                hint="the checkpoint before it is still whole",
            ) from None

    def load_newest(self, warn: Callable[[str], None]) -> Checkpoint:
        """`last`, or `previous` when `last` is torn; `warn` is told why.

        Raises CheckpointError when neither can be trusted.
        """
        reasons = []
        for name in ("last", "previous"):
            try:
                return load(self.folder / name)
            except CheckpointError as error:
                reasons.append(str(error))
                warn(f"{error}; trying the one before it")
        raise CheckpointError(
            f"{self.folder}: no checkpoint can be trusted: {'; '.join(reasons)}",
            hint="start anew with --resume never",
        )

    def load_best(self) -> Checkpoint:
        """`best`; raises CheckpointError when it is torn or altered."""
        return load(self.folder / "best")

    def _copy_to_best(self, source: Path) -> None:
        # A copy, not a link: `best` must not change with what is saved later.
        best = self.folder / "best"
        temporary, old = files.temporary_sibling(best), files.temporary_sibling(best)
        shutil.copytree(source, temporary)
        for file in temporary.iterdir():
            files.sync(file)
        files.sync(temporary)
        if best.exists():
            best.rename(old)
        temporary.rename(best)
        files.sync(self.folder)
        shutil.rmtree(old, ignore_errors=True)

    def _remove_leftovers(self) -> None:
        """Temporary folders of a process that was killed while saving; one run, one writer."""
        for leftover in self.folder.glob(".*.tmp-*"):
            shutil.rmtree(leftover, ignore_errors=True)


def find(path: Path) -> Path:
    """The checkpoint folder that `--resume PATH` means: itself, or `last` of a run folder."""
    if (path / STATE).is_file():
        return path
    if (path / FOLDER / "last").is_dir():
        return path / FOLDER / "last"
    raise UsageError(f"--resume {path}: neither a checkpoint nor a run folder with one")


def load(path: Path) -> Checkpoint:
    """Read and verify one checkpoint; raises CheckpointError with what is wrong in which file."""
    state = load_state(path)
    for name in (MODEL, OPTIMIZER):
        _verify(path / name, state["files"].get(name, {}))
    try:
        tensors = TrainingState(load_file(path / MODEL), load_file(path / OPTIMIZER))
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: cannot read the tensors: {error}") from None
    return Checkpoint(path, state, tensors)


def load_state(path: Path) -> JsonObject:
    """Read and verify only state.json."""
    file = path / STATE
    try:
        state = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{file}: missing, the checkpoint is not whole") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file}: cannot read: {error}") from None
    if not isinstance(state, dict) or state.get("schema") != SCHEMA:
        raise CheckpointError(f"{file}: not a checkpoint state of schema {SCHEMA}")
    if state.get(_SEAL) != _seal(state):
        raise CheckpointError(f"{file}: altered, its SHA-256 does not match")
    return state


def _write(folder: Path, tensors: TrainingState, state: JsonObject) -> None:
    folder.mkdir()
    save_file(tensors.model, folder / MODEL)
    save_file(tensors.optimizer, folder / OPTIMIZER)
    # safetensors makes its files private to the owner; give them the folder's modes.
    for name in (MODEL, OPTIMIZER):
        (folder / name).chmod(folder.stat().st_mode & 0o666)
    named = {**state, "schema": SCHEMA, "files": {}}
    named["files"] = {name: _fingerprint(folder / name) for name in (MODEL, OPTIMIZER)}
    named[_SEAL] = _seal(named)
    (folder / STATE).write_text(json.dumps(named, indent=1, allow_nan=False), encoding="utf-8")
    for file in folder.iterdir():
        files.sync(file)
    files.sync(folder)


def _fingerprint(path: Path) -> JsonObject:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}


def _verify(path: Path, expected: JsonObject) -> None:
    if not path.is_file():
        raise CheckpointError(f"{path}: missing, the checkpoint is not whole")
    size = path.stat().st_size
    if size != expected.get("bytes"):
        raise CheckpointError(f"{path}: torn, {size} bytes instead of {expected.get('bytes')}")
    if _fingerprint(path)["sha256"] != expected.get("sha256"):
        raise CheckpointError(f"{path}: altered, its SHA-256 does not match state.json")


def _seal(state: dict[str, Any]) -> str:
    rest = {key: value for key, value in state.items() if key != _SEAL}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
