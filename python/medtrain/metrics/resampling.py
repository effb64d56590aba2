"""Percentile bootstrap that draws whole patients.

A resample is a vector of whole-number weights per group, so every statistic is a weighted count
and nothing is copied. Legend: N rows, G groups, K classes, B resamples in one block.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from medtrain.metrics.arrays import BoolArray, FloatArray, IntArray
from medtrain.metrics.intervals import LEVEL, RESAMPLES, Interval, NoInterval, delong_interval
from medtrain.metrics.ranking import roc_at, roc_points

_BLOCK_CELLS = 2_000_000  # weights held at once: 16 MiB
_FEWEST_DEFINED = 0.9  # share of resamples that must have a value


def draw_weights(
    strata: IntArray, resamples: int, generator: np.random.Generator
) -> Iterator[FloatArray]:
    """Yield blocks (B, G) of how often each group is drawn, drawing inside each stratum.

    strata: (G,) stratum number of each group; each stratum keeps its number of groups.
    """
    n_groups = strata.size
    members = [np.flatnonzero(strata == s) for s in np.unique(strata)]
    block = max(1, min(resamples, _BLOCK_CELLS // max(1, n_groups)))
    done = 0
    while done < resamples:
        size = min(block, resamples - done)
        weights = np.zeros((size, n_groups))
        for member in members:
            even = np.full(member.size, 1.0 / member.size)
            weights[:, member] = generator.multinomial(member.size, even, size=size)
        yield weights
        done += size


def strata_by_rarest_class(labels: IntArray, codes: IntArray, n_classes: int) -> IntArray:
    """Put each group into the stratum of the rarest class it holds, so that classes survive.

    labels, codes: (N,) class and group of each row. Returns (G,).
    """
    counts = np.bincount(labels, minlength=n_classes)
    rarity = np.argsort(np.argsort(counts, kind="stable"), kind="stable")
    strata = np.full(int(codes.max()) + 1, n_classes, dtype=np.int64)
    np.minimum.at(strata, codes, rarity[labels])
    return strata


def percentile_interval(values: FloatArray, *, method: str, level: float = LEVEL) -> Interval:
    """Return the percentile interval of bootstrap values; NaN marks an undefined resample.

    Raises NoInterval when too many are undefined or all are equal.
    """
    defined = values[np.isfinite(values)]
    if defined.size < _FEWEST_DEFINED * values.size:
        raise NoInterval(
            f"undefined in {values.size - defined.size} of {values.size} bootstrap resamples"
        )
    low, high = np.quantile(defined, [0.5 - level / 2, 0.5 + level / 2])
    if low == high:
        raise NoInterval("every bootstrap resample gave the same value")
    return Interval(low=float(low), high=float(high), level=level, method=method)


def method_name(clustered: bool, resamples: int) -> str:
    """Say what was drawn, in the words of the report."""
    drawn = "patients (groups)" if clustered else "samples"
    return f"percentile bootstrap, {drawn} resampled, {resamples} resamples"


def auroc_resamples(
    scores: FloatArray, positive: BoolArray, codes: IntArray, weights_BG: FloatArray
) -> FloatArray:
    """Return the AUROC of each weighted resample, (B,), NaN where a class is missing."""
    order = np.argsort(scores, kind="stable")
    row_weights = weights_BG[:, codes[order]]
    is_positive = positive[order].astype(np.float64)
    starts = np.append(0, np.flatnonzero(np.diff(scores[order]) != 0) + 1)
    won = np.add.reduceat(row_weights * is_positive, starts, axis=1)
    lost = np.add.reduceat(row_weights * (1.0 - is_positive), starts, axis=1)
    below = np.cumsum(lost, axis=1) - lost
    wins = (won * (below + 0.5 * lost)).sum(axis=1)
    pairs = won.sum(axis=1) * lost.sum(axis=1)
    areas = np.full(wins.shape, np.nan)
    np.divide(wins, pairs, out=areas, where=pairs > 0)
    return areas


def auroc_interval(
    scores: FloatArray,
    positive: BoolArray,
    codes: IntArray | None,
    *,
    seed: int,
    resamples: int = RESAMPLES,
) -> Interval:
    """Return the AUROC's interval: DeLong for independent rows, bootstrap of groups otherwise.

    codes: (N,) group number, or None. Raises NoInterval with the reason.
    """
    positive = np.asarray(positive, dtype=np.bool_)
    if not is_clustered(codes):
        return delong_interval(scores, positive)
    assert codes is not None
    if positive.all() or not positive.any():
        raise NoInterval("one class only")
    strata = strata_by_rarest_class(positive.astype(np.int64), codes, 2)
    generator = np.random.default_rng(seed)
    values = [
        auroc_resamples(scores, positive, codes, weights)
        for weights in draw_weights(strata, resamples, generator)
    ]
    return percentile_interval(np.concatenate(values), method=method_name(True, resamples))


def is_clustered(codes: IntArray | None) -> bool:
    """Tell whether any group holds more than one row."""
    return codes is not None and codes.size > 0 and int(codes.max()) + 1 < codes.size


def roc_band(
    scores: FloatArray,
    positive: BoolArray,
    codes: IntArray | None,
    grid: FloatArray,
    *,
    seed: int,
    resamples: int = 300,
) -> tuple[FloatArray, FloatArray] | None:
    """Return pointwise bootstrap limits of the true positive rate at each rate of `grid`.

    Groups are drawn when given, else rows; stratified, so that both classes are always there.
    None when a class is missing.
    """
    positive = np.asarray(positive, dtype=np.bool_)
    if positive.all() or not positive.any():
        return None
    drawn = codes if codes is not None else np.arange(positive.size, dtype=np.int64)
    strata = strata_by_rarest_class(positive.astype(np.int64), drawn, 2)
    generator = np.random.default_rng(seed)
    curves = []
    for weights_BG in draw_weights(strata, resamples, generator):
        for weights in weights_BG.astype(np.int64):
            times = weights[drawn]
            points = roc_points(np.repeat(scores, times), np.repeat(positive, times))
            if points is not None:
                curves.append(roc_at(points[0], points[1], grid))
    low, high = np.quantile(np.stack(curves), [0.5 - LEVEL / 2, 0.5 + LEVEL / 2], axis=0)
    return np.asarray(low), np.asarray(high)
