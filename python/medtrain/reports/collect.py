"""Read a run folder; whatever is missing or torn becomes a sentence, not a crash."""

from __future__ import annotations

import json
import statistics
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from medtrain.errors import UsageError
from medtrain.metrics.arrays import AnyArray, IntArray

SPLITS = ("val", "test")
MEMORY_PARTS = ("parameter", "gradient", "optimizer")
SPLIT_TITLES = {"train": "training", "val": "validation", "test": "test"}


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Rows of predictions-<split>.npz."""

    labels: IntArray  # (N,)
    logits: AnyArray  # (N, K) float32
    groups: AnyArray | None  # (N,) text


@dataclass(frozen=True, kw_only=True)
class Run:
    """Everything a report may say about one run."""

    path: Path
    name: str
    config: Mapping[str, Any]
    environment: Mapping[str, Any]
    status: Mapping[str, Any]
    metrics: Mapping[str, Mapping[str, Any]]  # split -> metrics.json
    start: Mapping[str, Any]  # last "start" event
    starts: int
    steps: tuple[Mapping[str, Any], ...]
    epochs: tuple[Mapping[str, Any], ...]  # the last record of each epoch, in order
    evaluations: tuple[Mapping[str, Any], ...]
    memory: Mapping[str, Any]  # last "memory" event: bytes of the process that needed most
    end: Mapping[str, Any]
    predictions: Mapping[str, Predictions]
    problems: tuple[str, ...] = field(default=())

    def fact(self, *names: str) -> object:
        """Return the first of the dotted names found in environment, start event or config."""
        for name in names:
            for source in (self.environment, self.start, self.config):
                value = dotted(source, name)
                if value is not None:
                    return value
        return None

    @property
    def recipe(self) -> str | None:
        """Name of the recipe."""
        return _text(self.fact("recipe"))

    @property
    def model(self) -> str | None:
        """Name of the model."""
        return _text(self.fact("model.name"))

    @property
    def digest(self) -> str | None:
        """Digest of the data set (Merkle root of the shards)."""
        return _text(self.fact("dataset.digest", "dataset_digest"))

    @property
    def commit(self) -> str | None:
        """Git commit of the code, if it ran from a clone."""
        return _text(self.fact("git_commit", "git.commit"))

    @property
    def versions(self) -> Mapping[str, Any]:
        """Versions of the software."""
        value = self.fact("versions")
        return value if isinstance(value, Mapping) else {}

    @property
    def strategy(self) -> str | None:
        """Name of the strategy: serial, ddp, fsdp, pipeline."""
        return _text(self.fact("strategy"))

    @property
    def world_size(self) -> int:
        """Number of processes."""
        value = self.fact("world_size")
        return int(value) if isinstance(value, int) else 1

    @property
    def threads(self) -> int | None:
        """Compute threads of each process."""
        value = self.fact("threads")
        return int(value) if isinstance(value, int) else None

    @property
    def precision(self) -> str | None:
        """Name of the precision."""
        return _text(self.fact("precision", "train.precision"))

    @property
    def seed(self) -> int | None:
        """Seed of the run."""
        value = self.fact("seed")
        return int(value) if isinstance(value, int) else None

    @property
    def device(self) -> str:
        """The kind of device that computed: its GPU's name, or "CPU" and the CPU's name."""
        kind = _text(self.fact("device"))
        gpus = self.fact("machine.gpus")
        on_cpu = (kind or "").startswith("cpu") or (kind is None and not gpus)
        if on_cpu:
            cpu = _text(self.fact("machine.cpu_model"))
            return f"CPU ({cpu})" if cpu else "CPU"
        return _gpu_name(gpus) or kind or "GPU"

    @property
    def on_cpu(self) -> bool:
        """Whether the run computed on CPUs."""
        return self.device.startswith("CPU")

    @property
    def batch_size(self) -> int | None:
        """Samples per data rank and micro-batch."""
        value = self.fact("data.batch_size")
        return int(value) if isinstance(value, int) else None

    @property
    def global_batch(self) -> int | None:
        """Samples per optimizer step over all ranks."""
        stated = self.fact("global_batch")
        if isinstance(stated, int):
            return stated
        if self.batch_size is None:
            return None
        degree = self.fact("data_degree")
        ranks = int(degree) if isinstance(degree, int) else self.world_size
        accumulate = self.fact("train.accumulate")
        return self.batch_size * ranks * (int(accumulate) if isinstance(accumulate, int) else 1)

    @property
    def batch_statistics(self) -> str | None:
        """What batch normalisation took its statistics over, in words."""
        images, over = self.fact("batch_statistics.images"), self.fact("batch_statistics.over")
        if not isinstance(images, int) or not isinstance(over, str):
            return None
        if images == 0:
            return f"none: {over}"
        return f"over {images} image{'' if images == 1 else 's'}: {over}"

    @property
    def state(self) -> str:
        """State from status.json: running, stopped, done, failed; "unknown" without it."""
        return _text(self.status.get("state")) or "unknown"

    @property
    def planned_epochs(self) -> int | None:
        """Epochs the run was asked for."""
        for value in (self.status.get("epochs"), self.fact("train.epochs")):
            if isinstance(value, int):
                return value
        return None

    def split_size(self, split: str) -> int | None:
        """Return the number of samples of a split, from whatever states it."""
        if split in self.metrics and isinstance(self.metrics[split].get("n"), int):
            return int(self.metrics[split]["n"])
        for name in (f"dataset.samples.{split}", f"dataset.splits.{split}"):
            value = self.fact(name)
            if isinstance(value, Mapping):
                value = value.get("samples")
            if isinstance(value, int):
                return value
        return None

    def series(self, part: str, name: str) -> list[float | None]:
        """Return one number per epoch, e.g. ("val", "auroc"); None where there is none."""
        return [finite(_mapping(epoch.get(part)).get(name)) for epoch in self.epochs]

    @property
    def epoch_numbers(self) -> list[float]:
        """Numbers of the recorded epochs, from 1."""
        return [float(epoch["epoch"]) for epoch in self.epochs]

    def best_epoch(self) -> tuple[int, str] | None:
        """Return the best epoch and what it is best in, or None before the first validation."""
        monitor = _text(self.fact("train.monitor")) or "loss"
        sign, word = (1, "lowest") if monitor == "loss" else (-1, "highest")
        title = "AUROC" if monitor == "auroc" else monitor
        stated = self.end.get("best_epoch")
        if isinstance(stated, int) and stated > 0:
            return stated, f"{word} validation {title}"
        values = zip(self.series("val", monitor), self.epoch_numbers, strict=True)
        ranked = [(sign * value, int(number)) for value, number in values if value is not None]
        return (min(ranked)[1], f"{word} validation {title}") if ranked else None

    def images_per_s(self) -> float | None:
        """Return the median over epochs without the first, which pays for the warm-up."""
        rates = [r for r in self.series("train", "images_per_s")[1:] if r is not None]
        return statistics.median(rates) if rates else None

    def waiting_share(self) -> float | None:
        """Return the share of training time spent waiting for data, first epoch left out."""
        pairs = zip(
            self.series("train", "data_seconds"), self.series("train", "seconds"), strict=True
        )
        known = [(d, s) for d, s in pairs if d is not None and s]
        known = known[1:] if len(known) > 1 else known
        total = sum(s for _, s in known)
        return sum(d for d, _ in known) / total if total else None

    def held_bytes(self) -> int | None:
        """Return parameters, gradients and optimizer state of the process that has most."""
        parts = [finite(self.memory.get(f"{name}_bytes")) for name in MEMORY_PARTS]
        known = [part for part in parts if part is not None]
        return int(sum(known)) if len(known) == len(parts) else None


def read_run(folder: Path) -> Run:
    """Read RUN; raises UsageError when it is no run folder (no folder, or no records.jsonl)."""
    folder = Path(folder)
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such run folder", path=str(folder))
    records = folder / "records.jsonl"
    if not records.is_file():
        raise UsageError(
            f"{folder}: no records.jsonl in it",
            path=str(folder),
            hint="give the folder that `medtrain ... --out RUN` wrote",
        )
    problems: list[str] = []
    events = list(_events(records, problems))
    starts = [event for event in events if event["event"] == "start"]
    epochs = {event["epoch"]: event for event in events if event["event"] == "epoch"}
    metrics = _json(folder / "metrics.json", problems)
    return Run(
        path=folder,
        name=folder.resolve().name,
        config=_yaml(folder / "config.yaml", problems),
        environment=_json(folder / "environment.json", problems),
        status=_json(folder / "status.json", problems),
        metrics={split: _mapping(metrics[split]) for split in SPLITS if metrics.get(split)},
        start=starts[-1] if starts else {},
        starts=len(starts),
        steps=tuple(event for event in events if event["event"] == "step"),
        epochs=tuple(epochs[number] for number in sorted(epochs)),
        evaluations=tuple(event for event in events if event["event"] == "evaluation"),
        memory=_last(events, "memory"),
        end=_last(events, "end"),
        predictions=_all_predictions(folder, problems),
        problems=tuple(problems),
    )


def _last(events: Sequence[Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    return next((event for event in reversed(events) if event["event"] == name), {})


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Read several runs and give each a name that tells it from the others."""
    runs = [read_run(folder) for folder in folders]
    if not runs:
        raise UsageError("a report needs at least one run folder")
    names = [run.name for run in runs]
    if len(set(names)) == len(names):
        return runs
    return [
        _renamed(run, f"{run.path.resolve().parent.name}/{run.name}")
        if names.count(run.name) > 1
        else run
        for run in runs
    ]


def dotted(source: Mapping[str, Any], name: str) -> object:
    """Follow a dotted name through nested mappings; None when it leads nowhere."""
    value: Any = source
    for part in name.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(part)
    return value


def finite(value: object) -> float | None:
    """Return the number, or None for anything that is not a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if np.isfinite(value) else None


def _renamed(run: Run, name: str) -> Run:
    return Run(**{**run.__dict__, "name": name})


def _events(path: Path, problems: list[str]) -> Iterator[dict[str, Any]]:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    torn = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        whole = isinstance(event, dict) and isinstance(event.get("event"), str)
        if whole and event["event"] == "epoch" and not isinstance(event.get("epoch"), int):
            whole = False
        if whole:
            yield event
        elif number < len(lines):
            torn += 1
        else:
            problems.append("the last line of records.jsonl is torn and was left out")
    if torn:
        problems.append(f"{torn} lines of records.jsonl cannot be read and were left out")


def _json(path: Path, problems: list[str]) -> Mapping[str, Any]:
    if not path.is_file():
        if path.name != "metrics.json":  # written last: its absence is no surprise
            problems.append(f"there is no {path.name}")
        return {}
    try:
        return _mapping(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        problems.append(f"{path.name} cannot be read ({error})")
        return {}


def _yaml(path: Path, problems: list[str]) -> Mapping[str, Any]:
    if not path.is_file():
        problems.append(f"there is no {path.name}")
        return {}
    try:
        return _mapping(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError):
        problems.append(f"{path.name} cannot be read (not YAML)")
        return {}


def _all_predictions(folder: Path, problems: list[str]) -> dict[str, Predictions]:
    found = {}
    for split in SPLITS:
        path = folder / f"predictions-{split}.npz"
        if not path.is_file():
            continue
        try:
            found[split] = _predictions(path)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            problems.append(f"{path.name} cannot be read ({error})")
    return found


def _predictions(path: Path) -> Predictions:
    with np.load(path, allow_pickle=False) as members:
        labels, logits = members["labels"].astype(np.int64), members["logits"]
        groups = members["groups"] if "groups" in members.files else None
    if logits.ndim != 2 or labels.shape != (logits.shape[0],):
        raise ValueError(f"labels {labels.shape} and logits {logits.shape} do not fit")
    kept = (labels >= 0) & np.isfinite(logits).all(axis=1)
    return Predictions(
        labels=labels[kept],
        logits=logits[kept],
        groups=None if groups is None else groups[kept],
    )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str | None:
    if value is None or isinstance(value, Mapping | list):
        return None
    return str(value)


def _gpu_name(gpus: object) -> str | None:
    first = gpus[0] if isinstance(gpus, list) and gpus else gpus
    if isinstance(first, Mapping):
        return _text(first.get("name"))
    return first if isinstance(first, str) else None
