"""Checkpoints that are whole, hashed and bound to their data, or refused.

RUN/checkpoints/{last,previous,best}/ hold model.safetensors, optimizer.safetensors and
state.json, and where a run has them average.safetensors (the running mean of the weights) and
ranks.safetensors (each rank's own normalisation statistics). Where every process writes its own
part, the folders shards/ and average-shards/ stand for the first two and for the mean. A checkpoint
is written under a temporary name, forced to the disk and renamed; `last` becomes `previous` first,
so one valid copy always survives. state.json carries the SHA-256 of the tensor files and of itself,
and all are verified on loading.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from medtrain import files
from medtrain.errors import CheckpointError, StorageError, UsageError
from medtrain.strategies.base import Tensors, TrainingState
from medtrain.types import JsonObject

FOLDER = "checkpoints"
MODEL, OPTIMIZER, STATE = "model.safetensors", "optimizer.safetensors", "state.json"
AVERAGE, RANKS = "average.safetensors", "ranks.safetensors"
SHARDS, AVERAGE_SHARDS = "shards", "average-shards"
SCHEMA = 1
_SEAL = "sha256"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A verified checkpoint: its folder and the JSON of its state.

    Its tensors are read when they are asked for, as whole ones, also from the parts that several
    processes have written; where these read them themselves, from the folders `shards` and
    `average_shards`, no process needs the whole. None where there is no such folder.
    """

    path: Path
    state: JsonObject

    @property
    def shards(self) -> Path | None:
        """The parts of model and optimizer."""
        return self.path / SHARDS if _is_sharded(self.state) else None

    @property
    def average_shards(self) -> Path | None:
        """The parts of the averaged weights."""
        return self.path / AVERAGE_SHARDS if _is_sharded(self.state, AVERAGE_SHARDS) else None

    @property
    def tensors(self) -> TrainingState:
        """Model and optimizer."""
        if self.shards is not None:
            return _consolidate(self.shards)
        return TrainingState(self._read(MODEL), self._read(OPTIMIZER))

    @property
    def average(self) -> Tensors:
        """The averaged weights; empty where there are none."""
        if self.average_shards is not None:
            return _consolidate(self.average_shards).model
        return self._read(AVERAGE)

    @property
    def ranks(self) -> Tensors:
        """Each rank's own normalisation statistics; empty where there are none."""
        return self._read(RANKS)

    @property
    def weights(self) -> Tensors:
        """What is evaluated and used: the averaged weights where there are any."""
        return self.average or self.tensors.model

    def _read(self, name: str) -> Tensors:
        try:
            return load_file(self.path / name) if name in self.state["files"] else {}
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{self.path / name}: cannot read: {error}") from None


class CheckpointStore:
    """The checkpoints of one run folder. Only rank 0 writes; all ranks may read.

    keep_last: `last`, `previous`, `previous-2`, ...; keep_best: `best`, `best-2`, ... by the
    watched value of their epoch, of which `is_higher_better` says the direction.
    """

    def __init__(
        self, run: Path, *, keep_last: int = 2, keep_best: int = 1, is_higher_better: bool = False
    ) -> None:
        self.folder = run / FOLDER
        # Every rank must know this name without being told.
        self.staging = self.folder / ".last.tmp-parts"
        self._keep_last = keep_last
        self._keep_best = keep_best
        self._sign = 1 if is_higher_better else -1

    def exists(self) -> bool:
        """True when anything was saved here."""
        return bool(self._newest_first())

    def clear(self) -> None:
        """Forget an earlier run's checkpoints."""
        if self.folder.exists():
            shutil.rmtree(self.folder)

    def save(
        self,
        tensors: TrainingState | None,
        state: JsonObject,
        *,
        best: bool,
        more: Mapping[str, Tensors] | None = None,
    ) -> None:
        """Write `last`, and a copy of it as `best`; raises StorageError when that fails.

        tensors: None where all ranks have written their parts below `staging`.
        more: further files of tensors; empty ones are not written. The folder keeps the modes of
        the user's umask: groups on shared storage can read it.
        """
        with self._storage("save a checkpoint"):
            temporary = self.staging
            if tensors is not None:
                self.begin_staging()
            whole = {} if tensors is None else {MODEL: tensors.model, OPTIMIZER: tensors.optimizer}
            further = {name: content for name, content in (more or {}).items() if content}
            _write(temporary, whole | further)
            _seal_folder(temporary, state)
            last = self.folder / "last"
            # One more is kept until the new one is in its place.
            self._make_room("last", "previous", max(2, self._keep_last))
            temporary.rename(last)
            files.sync(self.folder)
            if self._keep_last == 1:
                shutil.rmtree(self.folder / "previous", ignore_errors=True)
            place = 1 if best else self._place_among_best(state)
            if place is not None:
                self._copy_to_best(last, place)

    def begin_staging(self, *parts: str) -> None:
        """Make `staging` anew, with the empty folders `parts`; raises StorageError."""
        with self._storage("save a checkpoint"):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._remove_leftovers()
            self.staging.mkdir()
            for name in parts:
                (self.staging / name).mkdir()

    def consolidate(self, name: str) -> None:
        """Make whole tensors of the parts in `name`, in its place; others stay as they are.

        state.json names what counts and is replaced at once: killed before or after, the
        checkpoint is whole. A torn one stays, and whoever loads it is told. Raises StorageError.
        """
        path = self.folder / name
        try:
            saved = load(path) if _is_sharded(load_state(path)) else None
        except CheckpointError:
            return
        with self._storage(f"put the parts of {name} together"):
            if saved is not None:
                model, optimizer = saved.tensors
                average = {AVERAGE: saved.average} if saved.average_shards else {}
                _write(path, {MODEL: model, OPTIMIZER: optimizer, **average})
                _seal_folder(path, saved.state, without=(SHARDS, AVERAGE_SHARDS))
            for parts in (SHARDS, AVERAGE_SHARDS):
                shutil.rmtree(path / parts, ignore_errors=True)

    def load_newest(self, warn: Callable[[str], None]) -> Checkpoint:
        """`last`, or `previous` when `last` is torn; `warn` is told why.

        Raises CheckpointError when neither can be trusted.
        """
        reasons = []
        for path in self._newest_first():
            try:
                return load(path)
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

    def finish_save(self, newest: Checkpoint) -> None:
        """Do what a save that was killed had still to do: the copies among the best ones.

        Call on rank 0 with what `load_newest` gave, before anything else is saved. What the
        killed one had not finished goes: the run may end without another save.
        """
        self._finish_best(newest)
        self._remove_leftovers()

    def _finish_best(self, newest: Checkpoint) -> None:
        wanted = newest.state["progress"]["best_epoch"]
        if wanted and wanted != _epoch_of(self.folder / "best"):
            leftovers = sorted(self.folder.glob(".best.tmp-*"))
            for path in (newest.path, *leftovers):
                if _epoch_of(path) == wanted and _is_whole(path) and not _is_inside_epoch(path):
                    self._copy_to_best(path, 1)
                    return
        elif place := self._place_among_best(newest.state):
            self._copy_to_best(newest.path, place)

    @contextmanager
    def _storage(self, what: str) -> Iterator[None]:
        try:
            yield
        except (OSError, SafetensorError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise StorageError(
                f"{self.folder}: cannot {what}: {reason}",
                path=str(self.folder),
                hint="the checkpoint before it is still whole",
            ) from None

    def _newest_first(self) -> list[Path]:
        numbered = _numbered("previous", len(list(self.folder.glob("previous*"))) + 1)
        return [p for p in (self.folder / n for n in ("last", *numbered)) if p.exists()]

    def _make_room(self, name: str, following: str, keep: int) -> None:
        """Move `name` and what follows it one place on; what would be beyond `keep` goes."""
        places = [name, *_numbered(following, keep)][:keep]
        paths = [self.folder / place for place in places]
        gap = _gap(paths)
        if paths[gap].exists():
            shutil.rmtree(paths[gap])
        for at in range(gap, 0, -1):
            paths[at - 1].rename(paths[at])

    def _place_among_best(self, state: JsonObject) -> int | None:
        """The place, from 2 on, of an epoch that is among the best ones to keep."""
        progress = state.get("progress", {})
        value = progress.get("watched")
        if self._keep_best == 1 or value is None or progress["position"]:
            return None
        if progress["epoch"] in (_epoch_of(path) for path in self._best_paths()):
            return None
        for place in range(2, self._keep_best + 1):
            kept = _watched_of(self.folder / f"best-{place}")
            if kept is None or self._sign * value > self._sign * kept:
                return place
        return None

    def _copy_to_best(self, source: Path, place: int) -> None:
        # A copy, not a link: `best` must not change with what is saved later.
        temporary = files.temporary_sibling(self.folder / "best")
        shutil.copytree(source, temporary)
        _sync_all(temporary)
        old = files.temporary_sibling(self.folder / "best")
        paths = self._best_paths()[place - 1 :]
        gap = _gap(paths)
        if paths[gap].exists():
            paths[gap].rename(old)
        for at in range(gap, 0, -1):
            paths[at - 1].rename(paths[at])
        temporary.rename(paths[0])
        files.sync(self.folder)
        shutil.rmtree(old, ignore_errors=True)

    def _best_paths(self) -> list[Path]:
        return [self.folder / name for name in _numbered("best", self._keep_best + 1)]

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
    needed = () if _is_sharded(state) else (MODEL, OPTIMIZER)
    for name in dict.fromkeys((*needed, *state["files"])):
        _verify(path / name, state["files"].get(name, {}))
    return Checkpoint(path, state)


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


def _write(folder: Path, contents: Mapping[str, Tensors]) -> None:
    for name, content in contents.items():
        save_file(content, folder / name)
        # safetensors makes its files private to the owner; give them the folder's modes.
        (folder / name).chmod(folder.stat().st_mode & 0o666)


def _seal_folder(folder: Path, state: JsonObject, *, without: Sequence[str] = ()) -> None:
    """Name all tensor files with their SHA-256 in state.json, but for folders that are to go."""
    _sync_all(folder)
    paths = sorted(folder.rglob("*.safetensors"))
    names = {path.relative_to(folder).as_posix(): path for path in paths}
    kept = {name: path for name, path in names.items() if name.split("/")[0] not in without}
    named = {**state, "schema": SCHEMA, "files": {}}
    named["files"] = {name: _fingerprint(path) for name, path in kept.items()}
    named[_SEAL] = _seal(named)
    files.write_json(folder / STATE, named)


def _sync_all(folder: Path) -> None:
    for path in (*folder.rglob("*"), folder):
        files.sync(path)


def _is_sharded(state: JsonObject, folder: str = SHARDS) -> bool:
    return any(name.startswith(f"{folder}/") for name in state["files"])


def _consolidate(folder: Path) -> TrainingState:
    # Imported here: it takes a second that only sharded checkpoints need.
    from medtrain.strategies.sharded import consolidate

    return consolidate(folder)


def _numbered(name: str, count: int) -> list[str]:
    """`name`, `name-2`, ..., `name-<count - 1>`."""
    return [name, *(f"{name}-{at}" for at in range(2, count))]


def _gap(paths: list[Path]) -> int:
    """Where the row of folders ends: the first place that is free, or the last one."""
    return next((at for at, path in enumerate(paths) if not path.exists()), len(paths) - 1)


def _epoch_of(path: Path) -> int | None:
    try:
        epoch = load_state(path)["progress"]["epoch"]
    except (CheckpointError, KeyError):
        return None
    return int(epoch)


def _watched_of(path: Path) -> float | None:
    try:
        value = load_state(path)["progress"]["watched"]
    except (CheckpointError, KeyError):
        return None
    return None if value is None else float(value)


def _is_inside_epoch(path: Path) -> bool:
    return bool(load_state(path)["progress"]["position"])


def _is_whole(path: Path) -> bool:
    try:
        load(path)
    except CheckpointError:
        return False
    return True


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
