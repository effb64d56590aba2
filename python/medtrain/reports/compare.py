"""What several runs may and may not say about each other.

Runs that differ only by seed form one setting. A speedup exists only against a serial run of the
same code on the same data, recipe, precision and hardware; otherwise there is a sentence.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medtrain.reports.collect import MEMORY_PARTS, SPLITS, Run, finite

_SEED_RESAMPLES = 2000
_VALUES = ("auroc", "accuracy", "sensitivity", "specificity", "f1", "loss")
# Config entries that name the run rather than describe what it computes.
_NOT_COMPARED = {"seed", "out", "run", "resume"}


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Runs that are equal but for their seed."""

    runs: tuple[Run, ...]

    @property
    def first(self) -> Run:
        """Any of the runs, for what they share."""
        return self.runs[0]

    @property
    def name(self) -> str:
        """Name for tables: the run's, or the shared words and the number of seeds."""
        if len(self.runs) == 1:
            return self.first.name
        n = self.first.world_size
        processes = f"{n} process{'es' if n > 1 else ''}"
        words = [self.first.strategy, processes, self.first.precision, f"{len(self.runs)} seeds"]
        return ", ".join(word for word in words if word)

    def images_per_s(self) -> float | None:
        """Return the median over runs of each run's steady throughput."""
        rates = [rate for run in self.runs if (rate := run.images_per_s()) is not None]
        return statistics.median(rates) if rates else None


@dataclass(frozen=True, kw_only=True)
class Speedup:
    """One setting against its serial baseline, or the reason why not."""

    setting: str
    baseline: str | None
    images_per_s: float | None
    speedup: float | None
    units: float | None  # how many times the baseline's processors
    efficiency: float | None
    scaling: str | None
    notes: tuple[str, ...]
    refused: str | None


def compare(runs: Sequence[Run]) -> dict[str, Any]:
    """Return differences, speedups and seed summaries of two or more runs, JSON-ready."""
    settings = group_by_setting(runs)
    return {
        "differences": differences(runs),
        "unrecorded": unrecorded(runs),
        "config_differences": config_differences(runs),
        "memory": memory(runs),
        "speedups": [speedup.__dict__ | {} for speedup in speedups(settings)],
        "seeds": [summary for s in settings if (summary := seed_summary(s)) is not None],
    }


def group_by_setting(runs: Sequence[Run]) -> list[Setting]:
    """Put runs together that differ only by seed, in the order given."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        key = repr(
            (
                sorted(_flat_config(run).items()),
                run.digest,
                run.commit,
                run.strategy,
                run.world_size,
                run.threads,
                run.precision,
                run.device,
            )
        )
        groups.setdefault(key, []).append(run)
    settings = []
    for members in groups.values():
        seeds = {run.seed for run in members}
        if len(seeds) == len(members) and None not in seeds:
            settings.append(Setting(runs=tuple(members)))
        else:
            settings += [Setting(runs=(run,)) for run in members]
    return settings


def differences(runs: Sequence[Run]) -> list[str]:
    """Say in words what keeps the runs from being measured with the same yardstick."""
    return [
        f"The {title} differs between the runs: {consequence}."
        for title, values, consequence in _yardsticks(runs)
        if len(set(values) - {None}) > 1
    ]


def unrecorded(runs: Sequence[Run]) -> list[str]:
    """Say in words what cannot be told: a missing commit is no difference, and no equality."""
    found = []
    for title, values, _ in _yardsticks(runs):
        missing = [run.name for run, value in zip(runs, values, strict=True) if value is None]
        if missing:
            found.append(f"The {title} is not recorded for {_listed(missing)}.")
    return found


def _yardsticks(runs: Sequence[Run]) -> list[tuple[str, list[str | None], str]]:
    """(what, its value in each run, what follows where it differs)."""
    return [
        ("data set digest", [run.digest for run in runs], "the numbers are of different data"),
        ("commit", [run.commit for run in runs], "the runs are of different code"),
        ("recipe", [run.recipe for run in runs], "the runs solve different tasks"),
        ("precision", [run.precision for run in runs], "speed and rounding differ"),
        ("hardware", [run.device for run in runs], "their speeds do not compare"),
    ]


def config_differences(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return each dotted config entry whose value is not the same in all runs."""
    flat = [_flat(run.config) for run in runs]
    names = sorted({name for entries in flat for name in entries})
    return [
        {"name": name, "values": [entries.get(name) for entries in flat]}
        for name in names
        if len({repr(entries.get(name)) for entries in flat}) > 1
    ]


def memory(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return bytes of the process that needed most, for each run that has recorded them.

    held_bytes: parameters, gradients and optimizer state. of_ddp: that over what DDP holds of the
    same model and optimizer; None without such a run.
    """
    names = [f"{part}_bytes" for part in MEMORY_PARTS]
    replicas = {_trained(run): run.held_bytes() for run in runs if run.strategy == "ddp"}
    rows = []
    for run in runs:
        held, whole = run.held_bytes(), replicas.get(_trained(run))
        if held is None:
            continue
        row: dict[str, Any] = {"run": run.name, "strategy": run.strategy, "held_bytes": held}
        row |= {name: run.memory.get(name) for name in (*names, "peak_bytes")}
        rows.append(row | {"of_ddp": held / whole if whole else None})
    return rows


def _trained(run: Run) -> tuple[object, ...]:
    """What decides how much a whole replica holds."""
    return run.model, run.fact("optim.name"), run.fact("parameters")


def speedups(settings: Sequence[Setting]) -> list[Speedup]:
    """Return one row for every setting that is not serial itself."""
    baselines = [s for s in settings if s.first.strategy == "serial" and s.first.world_size == 1]
    return [_speedup(s, baselines) for s in settings if s not in baselines]


def _speedup(setting: Setting, baselines: Sequence[Setting]) -> Speedup:
    if not baselines:
        return _refused(setting, "there is no serial run of the same code to compare with")
    obstacles = [(_obstacles(setting, baseline), baseline) for baseline in baselines]
    obstacles.sort(key=lambda pair: (len(pair[0]), pair[1].first.threads != setting.first.threads))
    found, baseline = obstacles[0]
    if found:
        return _refused(setting, f"against '{baseline.name}': {'; '.join(found)}")
    rate, reference = setting.images_per_s(), baseline.images_per_s()
    assert rate is not None
    assert reference
    speedup = rate / reference
    units, unit_note = _units(setting.first, baseline.first)
    notes = [note for note in (unit_note, _repeat_note(setting, baseline)) if note]
    if setting.first.commit is None:
        notes.append("no commit is recorded: same code is taken from equal versions")
    efficiency = speedup / units
    if efficiency > 1:
        notes.insert(
            0,
            "more than linear: do not report it before it is explained "
            "(cold file cache or a busy machine during the baseline?)",
        )
    return Speedup(
        setting=setting.name,
        baseline=baseline.name,
        images_per_s=rate,
        speedup=speedup,
        units=units,
        efficiency=efficiency,
        scaling=_scaling(setting.first, baseline.first),
        notes=tuple(notes),
        refused=None,
    )


def _refused(setting: Setting, reason: str) -> Speedup:
    return Speedup(
        setting=setting.name,
        baseline=None,
        images_per_s=setting.images_per_s(),
        speedup=None,
        units=None,
        efficiency=None,
        scaling=None,
        notes=(),
        refused=reason,
    )


def _obstacles(setting: Setting, baseline: Setting) -> list[str]:
    one, other = setting.first, baseline.first
    found = []
    for title, ours, theirs in (
        ("data set digest", one.digest, other.digest),
        ("recipe", one.recipe, other.recipe),
        ("model", one.model, other.model),
        ("precision", one.precision, other.precision),
        ("hardware", one.device, other.device),
    ):
        if ours is None or theirs is None:
            found.append(f"the {title} is not recorded for both")
        elif ours != theirs:
            found.append(f"the {title} differs")
    if one.commit != other.commit:
        found.append("the commit differs" if one.commit and other.commit else "one has no commit")
    elif one.commit is None and (
        not one.versions.get("medprep")
        or _code_versions(one.versions) != _code_versions(other.versions)
    ):
        found.append("neither commit nor equal versions show that the code is the same")
    for side in (setting, baseline):
        if side.images_per_s() is None:
            found.append(f"'{side.name}' has no throughput after the first epoch, which is warm-up")
    return found


def _code_versions(versions: Mapping[str, Any]) -> dict[str, Any]:
    return {name: versions.get(name) for name in ("medprep", "medtrain", "torch")}


def _units(run: Run, baseline: Run) -> tuple[float, str | None]:
    """Return how many times the baseline's processors a run had: GPUs, or processes x threads."""
    if not run.on_cpu:
        return float(run.world_size), None
    if run.threads is None or baseline.threads is None:
        return (
            float(run.world_size),
            "threads are not recorded: efficiency is per process, not per core",
        )
    return run.world_size * run.threads / baseline.threads, None


def _repeat_note(setting: Setting, baseline: Setting) -> str | None:
    fewest = min(len(setting.runs), len(baseline.runs))
    return (
        None if fewest >= 3 else f"from {fewest} repeat{'s' if fewest > 1 else ''}, not 3 or more"
    )


def _scaling(run: Run, baseline: Run) -> str:
    if run.global_batch is None or baseline.global_batch is None:
        return "batch size not recorded"
    if run.global_batch == baseline.global_batch:
        return f"strong (global batch {run.global_batch} in both)"
    if run.batch_size == baseline.batch_size:
        return f"weak (batch {run.batch_size} per process in both)"
    return f"mixed (global batch {baseline.global_batch} to {run.global_batch})"


def seed_summary(setting: Setting) -> dict[str, Any] | None:
    """Return the median of each value over seeds with its interval; None for a single run."""
    if len(setting.runs) < 2:
        return None
    splits = {}
    for split in SPLITS:
        rows = {
            name: _median_of([finite(run.metrics.get(split, {}).get(name)) for run in setting.runs])
            for name in _VALUES
        }
        splits[split] = {name: row for name, row in rows.items() if row is not None}
    return {
        "setting": setting.name,
        "runs": [run.name for run in setting.runs],
        "seeds": [run.seed for run in setting.runs],
        "splits": {split: rows for split, rows in splits.items() if rows},
    }


def _median_of(values: Sequence[float | None]) -> dict[str, Any] | None:
    known = np.array([value for value in values if value is not None])
    if known.size < 2:
        return None
    if known.size == 2:
        low, high, method = float(known.min()), float(known.max()), "range of 2 seeds"
    else:
        draws = np.random.default_rng(0).integers(0, known.size, (_SEED_RESAMPLES, known.size))
        medians = np.median(known[draws], axis=1)
        low, high = (float(q) for q in np.quantile(medians, [0.025, 0.975]))
        method = f"percentile bootstrap of the median over {known.size} seeds"
    return {
        "median": float(np.median(known)),
        "low": low,
        "high": high,
        "n": int(known.size),
        "method": method,
    }


def _flat_config(run: Run) -> dict[str, str]:
    return {
        name: repr(value)
        for name, value in _flat(run.config).items()
        if name.split(".")[-1] not in _NOT_COMPARED
    }


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
