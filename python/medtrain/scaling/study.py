"""From repeated measurements to speedup, efficiency and Amdahl's law; all is computed here.

Definitions, with r the median over repeats of the images per second:

- speedup = r / r(baseline), the baseline being one serial process of the same code, data,
  precision, threads and batch (weak scaling: batch per process);
- efficiency = speedup / units; units = processes, each with the threads (or GPU) of the baseline;
- spread = (fastest - slowest) / median over the repeats;
- superlinear = efficiency above 1 by more than both spreads explain: never to be reported before
  it is understood;
- Amdahl: f minimises the squared error of 1 / speedup = f + (1 - f) / n over strong scaling.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from medtrain.errors import UsageError
from medtrain.scaling.grid import STRONG, Case, baseline_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One run of one case, after warm-up.

    images_per_s: all processes together. step_s: seconds of an optimizer step. waiting: share of
    the time spent waiting for data. memory: peak bytes of the process that needed most; None where
    not recorded. startup_s: from the command to the first measured step. losses: pairs of
    (optimizer step, mean training loss).
    """

    case: Case
    images_per_s: float
    step_s: float
    waiting: float
    startup_s: float
    memory: int | None = None
    losses: tuple[tuple[int, float], ...] = ()

    def __post_init__(self) -> None:
        if not (math.isfinite(self.images_per_s) and self.images_per_s > 0):
            raise ValueError(f"{self.case}: images per second must be positive")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table; speedup and what follows are against `baseline`."""

    case: Case
    baseline: Case
    images_per_s: float
    slowest: float
    fastest: float
    spread: float
    repeats: int
    step_s: float
    waiting: float
    memory: int | None
    speedup: float
    units: int
    efficiency: float
    superlinear: bool

    def to_json(self) -> dict[str, Any]:
        """Plain values, unrounded."""
        return {**asdict(self), "name": str(self.case), "baseline": str(self.baseline)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Amdahl:
    """The fit of one strategy's strong scaling.

    serial_share: the part f that more processes do not speed up; limit: 1 / f, the speedup that
    no number of processes passes (None for f <= 0). error: root mean square of 1 / speedup.
    """

    series: str
    points: int
    serial_share: float
    limit: float | None
    error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRow:
    """A GPU setting beside the fastest serial CPU setting; `ratio` of images per second."""

    case: Case
    reference: Case
    images_per_s: float
    ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """Everything computed."""

    rows: tuple[Row, ...]
    amdahl: tuple[Amdahl, ...]
    devices: tuple[DeviceRow, ...] = ()

    @property
    def scalings(self) -> tuple[str, ...]:
        """Strong, weak or both, as measured."""
        return tuple(dict.fromkeys(row.case.scaling for row in self.rows))


def study(measurements: Sequence[Measurement]) -> Study:
    """Compute the table. Raises UsageError when a case has no baseline among the measurements."""
    by_setting: dict[Any, list[Measurement]] = {}
    for measurement in measurements:
        by_setting.setdefault(measurement.case.setting, []).append(measurement)
    cases = list(dict.fromkeys(measurement.case for measurement in measurements))
    rows = tuple(_row(case, cases, by_setting) for case in cases)
    return Study(rows=rows, amdahl=tuple(_fits(rows)), devices=tuple(_devices(rows)))


def _row(case: Case, cases: Sequence[Case], by_setting: dict[Any, list[Measurement]]) -> Row:
    try:
        baseline = baseline_of(case, cases)
    except StopIteration:
        raise UsageError(f"{case}: no serial measurement to compare with") from None
    mine, theirs = by_setting[case.setting], by_setting[baseline.setting]
    rates, reference = [m.images_per_s for m in mine], [m.images_per_s for m in theirs]
    rate = median(rates)
    speedup = rate / median(reference)
    efficiency = speedup / case.processes
    noise = _spread(rates) + _spread(reference)
    memories = [m.memory for m in mine if m.memory is not None]
    return Row(
        case=case,
        baseline=baseline,
        images_per_s=rate,
        slowest=min(rates),
        fastest=max(rates),
        spread=_spread(rates),
        repeats=len(rates),
        step_s=median(m.step_s for m in mine),
        waiting=median(m.waiting for m in mine),
        memory=max(memories, default=None),
        speedup=speedup,
        units=case.processes,
        efficiency=efficiency,
        superlinear=case.processes > 1 and efficiency > 1 + noise,
    )


def _spread(values: Sequence[float]) -> float:
    return (max(values) - min(values)) / median(values)


def _devices(rows: Sequence[Row]) -> list[DeviceRow]:
    serial = [row for row in rows if row.case.device == "cpu" and row.case.is_baseline]
    if not serial:
        return []
    reference = max(serial, key=lambda row: row.images_per_s)
    return [
        DeviceRow(
            case=row.case,
            reference=reference.case,
            images_per_s=row.images_per_s,
            ratio=row.images_per_s / reference.images_per_s,
        )
        for row in rows
        if row.case.device != "cpu"
    ]


def series_name(case: Case) -> str:
    """What the points of one line share."""
    noun = "thread" if case.threads == 1 else "threads"
    threads = f", {case.threads} {noun}" if case.device == "cpu" else ""
    return f"{case.strategy}, {case.precision}{threads}"


def _fits(rows: Sequence[Row]) -> list[Amdahl]:
    series: dict[tuple[str, Case], list[Row]] = {}
    for row in rows:
        if row.case.scaling == STRONG and row.case.processes > 1:
            series.setdefault((series_name(row.case), row.baseline), []).append(row)
    return [
        fit_amdahl(
            f"{name}, batch {baseline.batch}",
            [(row.case.processes, row.speedup) for row in found],
        )
        for (name, baseline), found in series.items()
    ]


def fit_amdahl(series: str, points: Sequence[tuple[int, float]]) -> Amdahl:
    """Least squares of 1/s = f + (1 - f)/n over (n, s), n > 1; linear in f, so exact."""
    # 1/s - 1/n = f (1 - 1/n): one unknown through the origin.
    pairs = [(1 - 1 / n, 1 / s - 1 / n) for n, s in points]
    share = sum(x * y for x, y in pairs) / sum(x * x for x, _ in pairs)
    error = math.sqrt(sum((y - share * x) ** 2 for x, y in pairs) / len(pairs))
    return Amdahl(
        series=series,
        points=len(pairs),
        serial_share=share,
        limit=1 / share if share > 0 else None,
        error=error,
    )
