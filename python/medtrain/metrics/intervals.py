"""Intervals by formula: DeLong for the AUROC, Wilson for proportions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from medtrain.metrics.arrays import AnyArray, BoolArray, FloatArray, IntArray

LEVEL = 0.95
"""Confidence level of every interval."""
RESAMPLES = 1000
"""Bootstrap resamples; for a normal value, 1000 leave each end a noise of 0.08 of its spread."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A confidence interval and how it was made."""

    low: float
    high: float
    method: str
    level: float = LEVEL

    def as_json(self) -> dict[str, Any]:
        """Return the four keys of the run folder's contract."""
        return {"low": self.low, "high": self.high, "level": self.level, "method": self.method}


class NoInterval(Exception):
    """Why an interval does not exist: an answer for `undefined`, not a failure."""


def wilson_interval(hits: int, n: int, *, level: float = LEVEL) -> Interval | None:
    """Return the Wilson score interval of hits / n, or None when n is 0.

    It takes samples for independent: with several images of one patient it is too narrow, and
    the cluster bootstrap is used instead.
    """
    if n == 0:
        return None
    z = _z(level)
    share = hits / n
    scale = 1 + z * z / n
    centre = (share + z * z / (2 * n)) / scale
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / scale
    return Interval(
        low=0.0 if hits == 0 else max(0.0, centre - half),
        high=1.0 if hits == n else min(1.0, centre + half),
        level=level,
        method="Wilson score",
    )


def delong_interval(scores: AnyArray, positive: BoolArray, *, level: float = LEVEL) -> Interval:
    """Return DeLong's interval of the AUROC, made on the logit scale so it stays inside 0..1.

    scores: (N,) finite; positive: (N,) bool; rows independent. Raises NoInterval with the reason
    when a class has fewer than two samples or the variance is zero.
    DeLong, DeLong and Clarke-Pearson 1988; midranks after Sun and Xu 2014.
    """
    positive = np.asarray(positive, dtype=np.bool_)
    values = np.asarray(scores, dtype=np.float64)
    won, lost = values[positive], values[~positive]
    if min(won.size, lost.size) < 2:
        raise NoInterval(
            "DeLong needs at least 2 positive and 2 negative samples, "
            f"found {won.size} and {lost.size}"
        )
    place_of_won = _placements(won, lost)
    place_of_lost = 1.0 - _placements(lost, won)
    area = math.fsum(place_of_won) / won.size
    variance = _variance(place_of_won) / won.size + _variance(place_of_lost) / lost.size
    if variance <= 0.0 or not 0.0 < area < 1.0:
        raise NoInterval(f"DeLong's variance is zero (AUROC is {area:.4g}, no spread to measure)")
    centre = math.log(area / (1 - area))
    half = _z(level) * math.sqrt(variance) / (area * (1 - area))
    return Interval(
        low=_expit(centre - half),
        high=_expit(centre + half),
        level=level,
        method="DeLong, logit scale",
    )


def _placements(of: FloatArray, among: FloatArray) -> FloatArray:
    """Return for each value the share of the other class below it, ties counted half."""
    ordered = np.sort(among)
    below: IntArray = np.searchsorted(ordered, of, side="left").astype(np.int64)
    not_above = np.searchsorted(ordered, of, side="right").astype(np.int64)
    return np.asarray((below + not_above) / (2 * among.size), dtype=np.float64)


def _variance(values: FloatArray) -> float:
    mean = math.fsum(values) / values.size
    return math.fsum((values - mean) ** 2) / (values.size - 1)


def _expit(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _z(level: float) -> float:
    return NormalDist().inv_cdf(0.5 + level / 2)
