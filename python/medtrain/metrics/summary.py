"""All numbers of one evaluated split, ready for metrics.json.

A value that does not exist is None, and `undefined` says why; never 0, never NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from medtrain.metrics.arrays import (
    AnyArray,
    FloatArray,
    IntArray,
    canonical_order,
    group_codes,
)
from medtrain.metrics.calibration import (
    CALIBRATION_BINS,
    brier_score,
    expected_calibration_error,
    reliability_bins,
)
from medtrain.metrics.confusion import (
    RATES,
    ClassCounts,
    confusion_matrix,
    one_against_rest,
    rates_of_resamples,
)
from medtrain.metrics.intervals import RESAMPLES, Interval, NoInterval, wilson_interval
from medtrain.metrics.ranking import auroc, margins, probabilities
from medtrain.metrics.resampling import (
    auroc_interval,
    auroc_resamples,
    draw_weights,
    is_clustered,
    method_name,
    percentile_interval,
    strata_by_rarest_class,
)

# 35 classes x 30,000 rows took 36 s with 1000 resamples on one core of 2026-11's build machine.
_AFFORDABLE_CELLS = 50_000_000
_FEWEST_RESAMPLES = 200

_VALUES = ("loss", *RATES, "auroc", "brier", "ece")


@dataclass(frozen=True, kw_only=True)
class _Split:
    """Labelled rows in canonical order."""

    logits: FloatArray  # (N, K)
    labels: IntArray  # (N,)
    codes: IntArray | None  # (N,) group numbers
    classes: tuple[str, ...]
    positive: int | None  # index of the positive class; None = macro averages

    @property
    def n(self) -> int:
        return int(self.labels.size)

    @property
    def clustered(self) -> bool:
        return is_clustered(self.codes)

    @property
    def drawn(self) -> IntArray:
        """What the bootstrap draws: groups, or each row for itself."""
        return self.codes if self.codes is not None else np.arange(self.n, dtype=np.int64)


def classification(
    logits: AnyArray,
    labels: AnyArray,
    groups: AnyArray | None = None,
    *,
    classes: Sequence[str],
    positive_class: str | None,
    loss: float | None,
    seed: int = 0,
    resamples: int | None = None,
    intervals: bool = True,
) -> dict[str, Any]:
    """Measure one split; the result is JSON-ready and does not depend on the order of the rows.

    logits: (N, K) real; labels: (N,) class index, -1 = unlabelled (left out); groups: (N,) text,
    the patient of each row (empty = unknown), or None. positive_class: a name from `classes` for
    K = 2, None for more (`positive_class()` chooses it). loss: mean loss, measured by the caller.
    A sample is called for its largest logit (probability 0.5 for two classes; the first class on
    a tie). intervals=False leaves them out, for the quick look after each epoch; resamples: of the
    bootstrap, None = 1000, fewer (at least 200) for very large splits; the method states it.
    Raises ValueError when shapes or labels do not fit.
    """
    split, unlabelled = _check(logits, labels, groups, tuple(classes), positive_class)
    result: dict[str, Any] = {
        "n": split.n,
        "unlabelled": unlabelled,
        "n_groups": None if split.codes is None else int(np.unique(split.codes).size),
        "classes": list(split.classes),
        "positive_class": positive_class,
        "averaging": "binary" if split.positive is not None else "macro",
        "names": _names(split),
        "class_counts": np.bincount(split.labels, minlength=len(classes)).tolist(),
        **dict.fromkeys(_VALUES),
        "confusion": None,
        "auroc_interval": None,
        "intervals": {},
        "per_class": [],
        "calibration": None,
        "notes": [],
        "undefined": {},
    }
    reason = _why_nothing(split)
    if reason is not None:
        result["undefined"] = dict.fromkeys((*_VALUES, "confusion", "auroc_interval"), reason)
        return result
    _add_loss(result, loss)
    confusion = confusion_matrix(split.labels, split.logits.argmax(axis=1), len(classes))
    result["confusion"] = confusion.tolist()
    _add_rates(result, split, confusion)
    _add_calibration(result, split)
    if intervals:
        count = resamples if resamples is not None else _affordable_resamples(split)
        _add_intervals(result, split, confusion, seed=seed, resamples=count)
    return result


def _affordable_resamples(split: _Split) -> int:
    cells = split.n * (1 if split.positive is not None else len(split.classes))
    return max(_FEWEST_RESAMPLES, min(RESAMPLES, _AFFORDABLE_CELLS // max(1, cells)))


def _check(
    logits: AnyArray,
    labels: AnyArray,
    groups: AnyArray | None,
    classes: tuple[str, ...],
    positive_class: str | None,
) -> tuple[_Split, int]:
    z, y = np.asarray(logits), np.asarray(labels)
    k = len(classes)
    if k < 2:
        raise ValueError(f"classification needs at least 2 classes, got {list(classes)}")
    if z.ndim != 2 or z.shape[1] != k or y.shape != (z.shape[0],):
        raise ValueError(f"logits must be (N, {k}) and labels (N,), got {z.shape} and {y.shape}")
    if y.size and (y.min() < -1 or y.max() >= k):
        raise ValueError(f"labels must be -1..{k - 1}, found {y.min()}..{y.max()}")
    if (positive_class is None) != (k > 2) or (k == 2 and positive_class not in classes):
        raise ValueError(
            f"positive_class must be one of {list(classes)} for 2 classes and None for more, "
            f"got {positive_class!r}"
        )
    kept = y >= 0
    names = None if groups is None else np.asarray(groups)[kept]
    y, z = y[kept].astype(np.int64), z[kept].astype(np.float64)
    codes = group_codes(names, y.size)
    order = canonical_order(z, y, codes)
    split = _Split(
        logits=z[order],
        labels=y[order],
        codes=None if codes is None else codes[order],
        classes=classes,
        positive=None if positive_class is None else classes.index(positive_class),
    )
    return split, int(np.count_nonzero(~kept))


def _why_nothing(split: _Split) -> str | None:
    if split.n == 0:
        return "no labelled samples"
    bad = int(np.count_nonzero(~np.isfinite(split.logits).all(axis=1)))
    return f"{bad} of {split.n} samples have logits that are not finite" if bad else None


def _names(split: _Split) -> dict[str, str]:
    """Name every value so that a table of averages cannot pass for one of a positive class."""
    if split.positive is not None:
        positive = f"'{split.classes[split.positive]}'"
        return {
            "loss": "loss",
            "accuracy": "accuracy",
            "balanced_accuracy": "balanced accuracy",
            "auroc": "AUROC",
            "sensitivity": f"sensitivity for {positive}",
            "specificity": f"specificity for {positive}",
            "precision": f"precision for {positive}",
            "f1": f"F1 for {positive}",
            "brier": "Brier score (0 to 1)",
            "ece": f"expected calibration error of the probability of {positive}, "
            f"{CALIBRATION_BINS} equal-width bins",
        }
    return {
        "loss": "loss",
        "accuracy": "accuracy",
        "balanced_accuracy": "balanced accuracy (macro sensitivity)",
        "auroc": "macro one-vs-rest AUROC",
        "sensitivity": "macro sensitivity",
        "specificity": "macro specificity",
        "precision": "macro precision",
        "f1": "macro F1",
        "brier": "Brier score (summed over classes, 0 to 2)",
        "ece": "expected calibration error of the called class, "
        f"{CALIBRATION_BINS} equal-width bins",
    }


def _add_loss(result: dict[str, Any], loss: float | None) -> None:
    if loss is None:
        result["undefined"]["loss"] = "not measured"
    elif not math.isfinite(loss):
        result["undefined"]["loss"] = "the loss is not finite"
    else:
        result["loss"] = float(loss)


def _add_rates(result: dict[str, Any], split: _Split, confusion: IntArray) -> None:
    folded = [one_against_rest(confusion, k) for k in range(len(split.classes))]
    result["per_class"] = [_class_row(split, k, counts) for k, counts in enumerate(folded)]
    result["accuracy"] = int(np.trace(confusion)) / split.n
    if split.positive is not None:
        _add_binary_rates(result, split, folded[split.positive])
    else:
        _add_macro_rates(result, split)


def _class_row(split: _Split, k: int, counts: ClassCounts) -> dict[str, Any]:
    return {
        "class": split.classes[k],
        "n": counts.true_positive + counts.false_negative,
        "auroc": auroc(margins(split.logits, k), split.labels == k),
        "sensitivity": counts.sensitivity,
        "specificity": counts.specificity,
        "precision": counts.precision,
        "f1": counts.f1,
    }


def _add_binary_rates(result: dict[str, Any], split: _Split, counts: ClassCounts) -> None:
    assert split.positive is not None
    result["auroc"] = result["per_class"][split.positive]["auroc"]
    result["sensitivity"], result["specificity"] = counts.sensitivity, counts.specificity
    result["precision"], result["f1"] = counts.precision, counts.f1
    positive = split.classes[split.positive]
    negative = split.classes[1 - split.positive]
    if counts.sensitivity is not None and counts.specificity is not None:
        result["balanced_accuracy"] = (counts.sensitivity + counts.specificity) / 2
    else:
        only = positive if counts.specificity is None else negative
        for name in ("balanced_accuracy", "auroc"):
            result["undefined"][name] = f"only class '{only}' is present; both are needed"
    if counts.sensitivity is None:
        for name in ("sensitivity", "f1"):
            result["undefined"][name] = f"no sample of class '{positive}'"
    if counts.specificity is None:
        result["undefined"]["specificity"] = f"no sample of class '{negative}'"
    if counts.precision is None:
        result["undefined"]["precision"] = f"'{positive}' was never called"


def _add_macro_rates(result: dict[str, Any], split: _Split) -> None:
    present = [row for row in result["per_class"] if row["n"] > 0]
    for name in ("auroc", "sensitivity", "specificity", "f1"):
        values = [row[name] for row in present]
        if len(present) < 2 and name in ("auroc", "specificity"):
            result["undefined"][name] = f"only class '{present[0]['class']}' is present"
        else:
            result[name] = math.fsum(values) / len(values)
    called = [row["precision"] for row in result["per_class"] if row["precision"] is not None]
    result["precision"] = math.fsum(called) / len(called)
    result["balanced_accuracy"] = result["sensitivity"]
    absent = [row["class"] for row in result["per_class"] if row["n"] == 0]
    if absent:
        result["notes"].append(
            "no samples of "
            + ", ".join(f"'{name}'" for name in absent)
            + ": left out of the macro averages"
        )
    if len(called) < len(split.classes):
        result["notes"].append(
            f"{len(split.classes) - len(called)} of {len(split.classes)} classes were never "
            "called: left out of macro precision"
        )


def _add_calibration(result: dict[str, Any], split: _Split) -> None:
    p = probabilities(split.logits)
    if split.positive is not None:
        stated, outcome = p[:, split.positive], split.labels == split.positive
        of = f"probability of '{split.classes[split.positive]}'"
    else:
        called = split.logits.argmax(axis=1)
        stated, outcome = p[np.arange(split.n), called], split.labels == called
        of = "probability of the called class"
    bins = reliability_bins(stated, outcome)
    result["brier"] = brier_score(p, split.labels, split.positive)
    result["ece"] = expected_calibration_error(bins)
    result["calibration"] = {
        "of": of,
        "binning": f"{CALIBRATION_BINS} equal-width bins over 0..1, empty ones left out",
        "bins": bins,
    }


def _add_intervals(
    result: dict[str, Any], split: _Split, confusion: IntArray, *, seed: int, resamples: int
) -> None:
    values = _bootstrap_rates(split, seed=seed, resamples=resamples)
    method = method_name(split.clustered, resamples)
    makers: dict[str, Callable[[], Interval | None]] = {
        name: partial(percentile_interval, values[name], method=method) for name in RATES
    }
    makers["auroc"] = partial(_auroc_interval, split, seed=seed, resamples=resamples)
    if not split.clustered:
        makers |= _wilson_makers(split, confusion)
    for name, make in makers.items():
        result["intervals"][name] = None
        if result[name] is None:
            result["undefined"][f"{name}_interval"] = result["undefined"][name]
            continue
        try:
            interval = make()
        except NoInterval as reason:
            result["undefined"][f"{name}_interval"] = str(reason)
            continue
        result["intervals"][name] = interval.as_json() if interval else None
    result["auroc_interval"] = result["intervals"]["auroc"]


def _wilson_makers(split: _Split, confusion: IntArray) -> dict[str, Callable[[], Interval | None]]:
    hits = int(np.trace(confusion))
    makers: dict[str, Callable[[], Interval | None]] = {
        "accuracy": partial(wilson_interval, hits, split.n)
    }
    if split.positive is not None:
        c = one_against_rest(confusion, split.positive)
        hit, clear = c.true_positive, c.true_negative
        makers["sensitivity"] = partial(wilson_interval, hit, hit + c.false_negative)
        makers["specificity"] = partial(wilson_interval, clear, clear + c.false_positive)
        makers["precision"] = partial(wilson_interval, hit, hit + c.false_positive)
    return makers


def _auroc_interval(split: _Split, *, seed: int, resamples: int) -> Interval:
    if split.positive is not None:
        return auroc_interval(
            margins(split.logits, split.positive),
            split.labels == split.positive,
            split.codes,
            seed=seed,
            resamples=resamples,
        )
    present = np.unique(split.labels)
    scores = [margins(split.logits, int(k)) for k in present]
    strata = strata_by_rarest_class(split.labels, split.drawn, len(split.classes))
    generator = np.random.default_rng(seed)
    macro = [
        np.mean(
            [
                auroc_resamples(score, split.labels == k, split.drawn, weights)
                for k, score in zip(present, scores, strict=True)
            ],
            axis=0,
        )
        for weights in draw_weights(strata, resamples, generator)
    ]
    return percentile_interval(
        np.concatenate(macro),
        method=method_name(split.clustered, resamples) + ", stratified by class",
    )


def _bootstrap_rates(split: _Split, *, seed: int, resamples: int) -> dict[str, FloatArray]:
    """Return (resamples,) values of each rate; prevalence varies as it would in a new sample."""
    n_groups = int(split.drawn.max()) + 1
    k = len(split.classes)
    called = split.logits.argmax(axis=1)
    hits, present, calls = (np.zeros((n_groups, k)) for _ in range(3))
    np.add.at(present, (split.drawn, split.labels), 1)
    np.add.at(calls, (split.drawn, called), 1)
    right = called == split.labels
    np.add.at(hits, (split.drawn[right], split.labels[right]), 1)
    generator = np.random.default_rng(seed)
    one_stratum = np.zeros(n_groups, dtype=np.int64)
    blocks = [
        rates_of_resamples(w @ hits, w @ present, w @ calls, split.positive)
        for w in draw_weights(one_stratum, resamples, generator)
    ]
    return {name: np.concatenate([block[name] for block in blocks]) for name in RATES}
