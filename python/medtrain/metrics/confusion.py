"""Counts of truth against prediction, and the rates made from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medtrain.metrics.arrays import AnyArray, FloatArray, IntArray


def confusion_matrix(labels: IntArray, predicted: IntArray, n_classes: int) -> IntArray:
    """Count rows by truth and prediction, (K, K) int64: row = truth, column = prediction."""
    cells = np.bincount(labels * n_classes + predicted, minlength=n_classes * n_classes)
    return cells.reshape(n_classes, n_classes).astype(np.int64)


def rate(part: int, whole: int) -> float | None:
    """Return part / whole, or None when there is nothing to divide by."""
    return part / whole if whole else None


@dataclass(frozen=True, kw_only=True)
class ClassCounts:
    """One class against the rest."""

    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int

    @property
    def sensitivity(self) -> float | None:
        """Share of the class's samples that were found (recall)."""
        return rate(self.true_positive, self.true_positive + self.false_negative)

    @property
    def specificity(self) -> float | None:
        """Share of the other samples that were left alone."""
        return rate(self.true_negative, self.true_negative + self.false_positive)

    @property
    def precision(self) -> float | None:
        """Share of the calls for this class that were right; None if it was never called."""
        return rate(self.true_positive, self.true_positive + self.false_positive)

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and sensitivity; None when no sample has the class."""
        if self.true_positive + self.false_negative == 0:
            return None
        return rate(
            2 * self.true_positive,
            2 * self.true_positive + self.false_positive + self.false_negative,
        )


def one_against_rest(confusion_KK: AnyArray, class_index: int) -> ClassCounts:
    """Fold a confusion matrix to one class against all others."""
    hit = int(confusion_KK[class_index, class_index])
    called = int(confusion_KK[:, class_index].sum())
    present = int(confusion_KK[class_index].sum())
    total = int(confusion_KK.sum())
    return ClassCounts(
        true_positive=hit,
        false_positive=called - hit,
        false_negative=present - hit,
        true_negative=total - called - present + hit,
    )


RATES = ("accuracy", "balanced_accuracy", "sensitivity", "specificity", "precision", "f1")


def rates_of_resamples(
    hits_BK: FloatArray, present_BK: FloatArray, called_BK: FloatArray, positive: int | None
) -> dict[str, FloatArray]:
    """Return every rate of `RATES` for B resampled confusion counts at once, NaN = undefined.

    hits, present, called: counts per class (diagonal, row sums, column sums).
    positive: index of the positive class, or None for macro averages over classes present.
    """
    total_B1 = present_BK.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        sensitivity = hits_BK / present_BK
        negatives = total_B1 - present_BK
        specificity = (negatives - called_BK + hits_BK) / negatives
        precision = hits_BK / called_BK
        f1 = np.where(present_BK > 0, 2 * hits_BK / (present_BK + called_BK), np.nan)
        accuracy = hits_BK.sum(axis=1) / total_B1[:, 0]
    folded = {
        "sensitivity": sensitivity,
        "specificity": np.where(present_BK > 0, specificity, np.nan)
        if positive is None
        else specificity,
        "precision": precision,
        "f1": f1,
    }
    rates = {name: _fold(values, positive) for name, values in folded.items()}
    rates["accuracy"] = accuracy
    rates["balanced_accuracy"] = (
        _fold(sensitivity, None) if positive is None else sensitivity.mean(axis=1)
    )
    return rates


def _fold(values_BK: FloatArray, positive: int | None) -> FloatArray:
    """Take the positive class's column, or the mean over the classes that have a value."""
    if positive is not None:
        return np.asarray(values_BK[:, positive], dtype=np.float64)
    defined = np.isfinite(values_BK)
    sums = np.where(defined, values_BK, 0.0).sum(axis=1)
    counts = defined.sum(axis=1)
    means = np.full(sums.shape, np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means
