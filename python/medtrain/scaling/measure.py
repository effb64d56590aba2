"""Run the trainer on one case, as a user would, and read what it recorded.

Every measurement is a process of its own with an empty run folder: nothing is shared but the file
cache, which the warm-up round fills. Steps before `warmup` are not counted, nor are start-up,
compilation, evaluation and saving.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from medtrain import records
from medtrain.child import ChildError, run_child
from medtrain.errors import MedprepError, UsageError
from medtrain.scaling.grid import SPLITS, Case
from medtrain.scaling.study import Measurement

_ENDLESS = 1_000_000  # epochs: the number of steps ends the run
WINDOWS = 5  # stretches that the measured steps are cut into; their median is the result


class CaseError(MedprepError):
    """A case could not be measured; the trainer's own words say why."""

    exit_code = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What every case trains: the same recipe on the same data, so many optimizer steps.

    sets: further `--set` words. steps: measured, after `warmup`.
    """

    data: Path
    recipe: str | None
    config: Path | None
    sets: Sequence[str]
    steps: int
    warmup: int

    def __post_init__(self) -> None:
        if self.warmup < 1 or self.steps < WINDOWS:
            raise UsageError(
                f"--steps must be at least {WINDOWS} and --warmup at least 1, "
                f"got {self.steps} and {self.warmup}"
            )

    @property
    def window(self) -> int:
        """Optimizer steps of one record."""
        return max(1, self.steps // WINDOWS)

    @property
    def measured(self) -> int:
        """Optimizer steps that count: whole windows of those asked for."""
        return self.steps // self.window * self.window

    @property
    def total(self) -> int:
        """Optimizer steps of a run: warm-up in whole windows, then the measured ones."""
        return -(-self.warmup // self.window) * self.window + self.measured


def command(case: Case, work: Workload, run: Path) -> list[str]:
    """The command line of one measurement."""
    kind = "--gpus" if case.device == "cuda" else "--procs"
    replicas = 1 if case.is_pipeline else case.processes
    words = [sys.executable, "-m", "medtrain", "pipeline" if case.is_pipeline else case.strategy]
    words += [kind, str(case.processes), "--data", str(work.data), "--out", str(run)]
    words += ["--recipe", work.recipe] if work.recipe is not None else []
    words += ["--config", str(work.config)] if work.config is not None else []
    words += ["--threads", str(case.threads), "--precision", case.precision]
    words += ["--batch-size", str(case.batch // replicas), "--resume", "never", "--json", "-q"]
    words += ["--epochs", str(_ENDLESS)]
    sets = [*work.sets, f"train.max_steps={work.total}", f"train.log_every={work.window}"]
    sets += ["train.validate=false", "train.patience=0"]
    sets += [f"pipeline.schedule={SPLITS[case.strategy]}"] if case.strategy in SPLITS else []
    return [*words, *(word for text in sets for word in ("--set", text))]


def measure(case: Case, work: Workload, *, scratch: Path | None = None) -> Measurement:
    """Measure one case once. Raises CaseError with the trainer's message when it fails."""
    # Workers of a run that was interrupted may still be on their way out of the folder.
    with tempfile.TemporaryDirectory(
        prefix="medtrain-scale-", dir=scratch, ignore_cleanup_errors=True
    ) as folder:
        run = Path(folder) / "run"
        begin = time.time()
        try:
            run_child(command(case, work, run))
        except ChildError as error:
            raise CaseError(f"{case}: {error}") from None
        events = list(records.read(run / records.FILE_NAME))
    return from_events(case, work, events, begin=begin)


def from_events(
    case: Case, work: Workload, events: Sequence[dict[str, Any]], *, begin: float
) -> Measurement:
    """The figures in a run's records. Raises CaseError when there are too few steps."""
    steps = [event for event in events if event["event"] == "step"]
    counted = [event for event in steps if event["step"] > work.total - work.measured]
    if not counted:
        raise CaseError(f"{case}: the run recorded no step after the warm-up")
    rate = median(float(event["images_per_s"]) for event in counted)
    memory = [event["peak_bytes"] for event in events if event["event"] == "memory"]
    return Measurement(
        case=case,
        images_per_s=rate,
        step_s=case.batch / rate,
        waiting=min(1.0, median(e["data_seconds"] / e["seconds"] for e in counted)),
        startup_s=_startup(steps[0], begin),
        memory=max(memory, default=None),
        # JSON has no NaN: a loss that was not finite is recorded as null.
        losses=tuple((e["step"], float(e["loss"])) for e in steps if e["loss"] is not None),
    )


def _startup(first: dict[str, Any], begin: float) -> float:
    """From the command to the first step: the time of the first record less its steps."""
    from datetime import datetime

    at = datetime.fromisoformat(first["time"]).timestamp()
    return max(0.0, at - begin - float(first["seconds"]))


def to_json(measurement: Measurement) -> str:
    """One line of measurements.jsonl."""
    case = measurement.case
    return json.dumps(
        {
            "case": {name: getattr(case, name) for name in Case.__dataclass_fields__},
            "images_per_s": measurement.images_per_s,
            "step_s": measurement.step_s,
            "waiting": measurement.waiting,
            "startup_s": measurement.startup_s,
            "memory": measurement.memory,
            "losses": [list(pair) for pair in measurement.losses],
        },
        allow_nan=False,
    )
