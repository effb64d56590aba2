"""Scores and the area under the ROC curve as an exact rank statistic."""

from __future__ import annotations

import numpy as np

from medtrain.metrics.arrays import AnyArray, BoolArray, FloatArray


def probabilities(logits_NK: AnyArray) -> FloatArray:
    """Return the softmax of each row, (N, K) float64."""
    z = np.asarray(logits_NK, dtype=np.float64)
    if z.shape[0] == 0:
        return z
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True), dtype=np.float64)


def margins(logits_NK: AnyArray, class_index: int) -> FloatArray:
    """Return the log odds of one class against all others, (N,) float64.

    They order rows as the class's probability does, but do not tie where it saturates at 0 or 1.
    """
    z = np.asarray(logits_NK, dtype=np.float64)
    others = np.delete(z, class_index, axis=1)
    if others.shape[0] == 0:
        return np.empty(0, dtype=np.float64)
    top = others.max(axis=1)
    rest = top + np.log(np.exp(others - top[:, None]).sum(axis=1))
    return np.asarray(z[:, class_index] - rest, dtype=np.float64)


def auroc(scores: AnyArray, positive: BoolArray) -> float | None:
    """Return the chance that a positive outranks a negative, ties counted half (Mann-Whitney).

    scores: (N,) finite; positive: (N,) bool. Counted in whole numbers, so it is exact up to one
    division. None when a class is missing.
    """
    pairs = pair_counts(scores, positive)
    if pairs is None:
        return None
    doubled, n_positive, n_negative = pairs
    return doubled / (2 * n_positive * n_negative)


def pair_counts(scores: AnyArray, positive: BoolArray) -> tuple[int, int, int] | None:
    """Return (2 x wins + ties, positives, negatives), or None when a class is missing."""
    values = np.asarray(scores, dtype=np.float64)
    positive = np.asarray(positive, dtype=np.bool_)
    won, lost = values[positive], np.sort(values[~positive])
    if won.size == 0 or lost.size == 0:
        return None
    below = np.searchsorted(lost, won, side="left").astype(np.int64)
    not_above = np.searchsorted(lost, won, side="right").astype(np.int64)
    return int(below.sum() + not_above.sum()), int(won.size), int(lost.size)


def roc_points(
    scores: AnyArray, positive: BoolArray
) -> tuple[FloatArray, FloatArray, FloatArray] | None:
    """Return (false positive rate, true positive rate, threshold), one point per distinct score.

    The first point is (0, 0) at threshold +inf, the last (1, 1); "called positive" means
    score >= threshold. Equal scores give one slanted segment, whose area counts ties half.
    None when a class is missing.
    """
    values = np.asarray(scores, dtype=np.float64)
    positive = np.asarray(positive, dtype=np.bool_)
    n_positive = int(np.count_nonzero(positive))
    n_negative = int(positive.size) - n_positive
    if n_positive == 0 or n_negative == 0:
        return None
    order = np.argsort(-values, kind="stable")
    values, hits = values[order], positive[order]
    last = np.append(np.flatnonzero(np.diff(values) != 0), values.size - 1)
    true_positives = np.cumsum(hits)[last]
    false_positives = last + 1 - true_positives
    zero = np.zeros(1)
    return (
        np.concatenate([zero, false_positives / n_negative]),
        np.concatenate([zero, true_positives / n_positive]),
        np.concatenate([[np.inf], values[last]]),
    )


def roc_at(
    false_positive_rate: FloatArray, true_positive_rate: FloatArray, grid: FloatArray
) -> FloatArray:
    """Read a ROC curve at the given false positive rates, from the top of vertical steps."""
    i = np.searchsorted(false_positive_rate, grid, side="right") - 1
    j = np.minimum(i + 1, false_positive_rate.size - 1)
    width = false_positive_rate[j] - false_positive_rate[i]
    share = np.divide(
        grid - false_positive_rate[i], width, out=np.zeros_like(grid), where=width > 0
    )
    rise = true_positive_rate[j] - true_positive_rate[i]
    return np.asarray(true_positive_rate[i] + share * rise, dtype=np.float64)
