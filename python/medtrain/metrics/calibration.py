"""Do the probabilities mean what they say?"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from medtrain.metrics.arrays import AnyArray, BoolArray, FloatArray, IntArray
from medtrain.metrics.intervals import wilson_interval

CALIBRATION_BINS = 10
"""Equal-width bins over 0..1; each holds its lower edge, the last both edges."""


def brier_score(probabilities_NK: FloatArray, labels: IntArray, positive: int | None) -> float:
    """Return the mean squared distance between probability and truth.

    positive: index of the positive class for two classes (range 0..1), or None for the sum over
    all classes (range 0..2, Brier 1950).
    """
    truth = np.arange(probabilities_NK.shape[1])[None, :] == labels[:, None]
    squares = (probabilities_NK - truth) ** 2
    per_row = squares[:, positive] if positive is not None else squares.sum(axis=1)
    return math.fsum(per_row) / len(per_row)


def reliability_bins(probability: AnyArray, outcome: BoolArray) -> list[dict[str, Any]]:
    """Compare stated probability with observed frequency, bin by bin; empty bins are left out.

    Returns rows of low, high, n, mean_probability, observed and the Wilson interval of observed.
    """
    which = np.clip(np.floor(probability * CALIBRATION_BINS), 0, CALIBRATION_BINS - 1).astype(int)
    rows: list[dict[str, Any]] = []
    for b in range(CALIBRATION_BINS):
        inside = which == b
        n = int(np.count_nonzero(inside))
        if n == 0:
            continue
        hits = int(np.count_nonzero(outcome[inside]))
        interval = wilson_interval(hits, n)
        rows.append(
            {
                "low": b / CALIBRATION_BINS,
                "high": (b + 1) / CALIBRATION_BINS,
                "n": n,
                "mean_probability": math.fsum(probability[inside]) / n,
                "observed": hits / n,
                "interval": interval.as_json() if interval else None,
            }
        )
    return rows


def expected_calibration_error(bins: list[dict[str, Any]]) -> float:
    """Return the mean gap between probability and frequency, bins weighted by their samples."""
    n = sum(row["n"] for row in bins)
    gaps = [row["n"] * abs(row["mean_probability"] - row["observed"]) for row in bins]
    return math.fsum(gaps) / int(n)
