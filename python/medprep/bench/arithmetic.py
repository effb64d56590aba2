"""From raw seconds to speedup and efficiency; every figure in a bench report is computed here.

Definitions, with t the median of the measured seconds (warm-up excluded):

- speedup of a configuration = t(baseline) / t(configuration), the baseline being one named
  configuration for the whole table;
- efficiency = speedup / threads: above 1 wherever the kernel itself is faster than the baseline's;
- scaling = t(same engine and kernel, fewest threads measured) / t(configuration), and
  scaling efficiency = scaling / (threads / fewest threads): what more threads bring by themselves.

Nothing is rounded before the last division.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from medprep.errors import UsageError, VerificationError


@dataclass(frozen=True, slots=True, order=True)
class Configuration:
    """Who schedules, who computes, and on how many threads or workers."""

    engine: str
    kernel: str
    threads: int

    def __str__(self) -> str:
        """`engine+kernel, n threads`."""
        noun = "thread" if self.threads == 1 else "threads"
        return f"{self.engine}+{self.kernel}, {self.threads} {noun}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """The repeated runs of one configuration.

    seconds: one value per measured round, warm-up excluded. startup_seconds: time to bring a
    cluster up, per round, never part of `seconds`; empty where there is none. images: stored
    images of every run. digest: of the data set that every run made.
    """

    configuration: Configuration
    seconds: tuple[float, ...]
    images: int
    digest: str
    startup_seconds: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not self.seconds or not all(math.isfinite(s) and s > 0 for s in self.seconds):
            raise ValueError(f"{self.configuration}: seconds must be positive, got {self.seconds}")

    @property
    def median_seconds(self) -> float:
        """Median over the rounds."""
        return median(self.seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table. Spread is (slowest - fastest) / median over the rounds."""

    configuration: Configuration
    median_seconds: float
    min_seconds: float
    max_seconds: float
    spread: float
    images_per_s: float
    speedup: float
    efficiency: float
    scaling: float
    scaling_efficiency: float
    startup_seconds: float | None
    seconds: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """The row as an object of plain values, unrounded."""
        return {
            "engine": self.configuration.engine,
            "kernel": self.configuration.kernel,
            "threads": self.configuration.threads,
            "median_seconds": self.median_seconds,
            "min_seconds": self.min_seconds,
            "max_seconds": self.max_seconds,
            "spread": self.spread,
            "images_per_s": self.images_per_s,
            "speedup": self.speedup,
            "efficiency": self.efficiency,
            "scaling": self.scaling,
            "scaling_efficiency": self.scaling_efficiency,
            "startup_seconds": self.startup_seconds,
            "seconds": list(self.seconds),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All rows, in the order measured, against one named baseline."""

    baseline: Configuration
    digest: str
    images: int
    rows: tuple[Row, ...]


def configurations(
    engines: Sequence[str], kernels: Sequence[str], threads: Sequence[int]
) -> list[Configuration]:
    """Every combination to measure, once; `sequential` is one thread by definition.

    Raises UsageError for an empty list or a thread count below 1.
    """
    if not engines or not kernels or not threads:
        raise UsageError("nothing to compare: give at least one engine, kernel and thread count")
    if min(threads) < 1:
        raise UsageError(f"--threads must be 1 or more, got {min(threads)}")
    wanted = [
        Configuration(engine, kernel, n)
        for engine in engines
        for kernel in kernels
        for n in ([1] if engine == "sequential" else threads)
    ]
    return list(dict.fromkeys(wanted))


def choose_baseline(measured: Sequence[Configuration]) -> Configuration:
    """The configuration that speedup refers to.

    sequential+python on one thread if it was measured; else the nearest thing that was: first
    anything sequential, then kernel python, then the fewest threads, then the order given.
    """
    if not measured:
        raise UsageError("nothing was measured, so there is no baseline")
    return min(
        measured,
        key=lambda c: (c.engine != "sequential", c.kernel != "python", c.threads),
    )


def compare(measurements: Sequence[Measurement]) -> Comparison:
    """Compute every figure of the table from raw seconds.

    Raises VerificationError when the runs did not all make the same data set: their times would
    compare different work.
    """
    _check_same_work(measurements)
    baseline = choose_baseline([m.configuration for m in measurements])
    times = {m.configuration: m.median_seconds for m in measurements}
    return Comparison(
        baseline=baseline,
        digest=measurements[0].digest,
        images=measurements[0].images,
        rows=tuple(_row(m, times, baseline) for m in measurements),
    )


def _row(m: Measurement, times: dict[Configuration, float], baseline: Configuration) -> Row:
    here = m.configuration
    fewest = min(
        (c for c in times if (c.engine, c.kernel) == (here.engine, here.kernel)),
        key=lambda c: c.threads,
    )
    speedup = times[baseline] / m.median_seconds
    scaling = times[fewest] / m.median_seconds
    return Row(
        configuration=here,
        median_seconds=m.median_seconds,
        min_seconds=min(m.seconds),
        max_seconds=max(m.seconds),
        spread=(max(m.seconds) - min(m.seconds)) / m.median_seconds,
        images_per_s=m.images / m.median_seconds,
        speedup=speedup,
        efficiency=speedup / here.threads,
        scaling=scaling,
        scaling_efficiency=scaling / (here.threads / fewest.threads),
        startup_seconds=median(m.startup_seconds) if m.startup_seconds else None,
        seconds=m.seconds,
    )


def _check_same_work(measurements: Sequence[Measurement]) -> None:
    first = measurements[0]
    for other in measurements[1:]:
        if (other.digest, other.images) != (first.digest, first.images):
            raise VerificationError(
                f"bench refused: {other.configuration} made {other.images} images with digest "
                f"{other.digest[:16]}, but {first.configuration} made {first.images} with "
                f"{first.digest[:16]}",
                stage="bench",
                hint="times of different work cannot be compared; report this as a bug",
            )
