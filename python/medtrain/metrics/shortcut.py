"""What one scalar that should not matter (image width, file size) predicts by itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from medtrain.metrics.arrays import AnyArray, group_codes
from medtrain.metrics.intervals import NoInterval
from medtrain.metrics.ranking import auroc
from medtrain.metrics.resampling import auroc_interval


def single_feature_auroc(
    fit_values: AnyArray,
    fit_labels: AnyArray,
    test_values: AnyArray,
    test_labels: AnyArray,
    groups: AnyArray | None = None,
    *,
    name: str = "image width",
    seed: int = 0,
) -> dict[str, Any]:
    """Measure the AUROC of one number per image, with its direction fixed on the fit values.

    fit_values, test_values: (N,) real; labels: (N,) 1 = positive, 0 = negative; groups: (N,)
    patients of the test rows. Choosing the direction on the test rows would never give less than
    0.5, even for noise. Returns a JSON-ready dict; auroc is None with a reason in `undefined`.
    """
    fit, fit_positive = _rows(fit_values, fit_labels)
    test, test_positive = _rows(test_values, test_labels)
    result: dict[str, Any] = {
        "name": name,
        "direction": None,
        "fit_auroc": None,
        "auroc": None,
        "auroc_interval": None,
        "n_fit": int(fit.size),
        "n": int(test.size),
        "undefined": {},
    }
    raw = auroc(fit, fit_positive)
    if raw is None:
        result["undefined"]["auroc"] = "the fit values hold one class only: no direction"
        return result
    sign = 1.0 if raw >= 0.5 else -1.0
    result["direction"] = "larger is positive" if sign > 0 else "smaller is positive"
    result["fit_auroc"] = max(raw, 1.0 - raw)
    result["auroc"] = auroc(sign * test, test_positive)
    if result["auroc"] is None:
        result["undefined"]["auroc"] = "the test values hold one class only"
        return result
    codes = group_codes(groups, test.size)
    try:
        interval = auroc_interval(sign * test, test_positive, codes, seed=seed)
        result["auroc_interval"] = interval.as_json()
    except NoInterval as reason:
        result["undefined"]["auroc_interval"] = str(reason)
    return result


def _rows(values: AnyArray, labels: AnyArray) -> tuple[AnyArray, AnyArray]:
    x, y = np.asarray(values, dtype=np.float64), np.asarray(labels)
    if x.ndim != 1 or y.shape != x.shape:
        raise ValueError(f"values and labels must be (N,), got {x.shape} and {y.shape}")
    if not np.isfinite(x).all():
        raise ValueError("values must be finite")
    if not np.isin(y, (0, 1)).all():
        raise ValueError("labels must be 0 or 1 (1 = positive)")
    return x, y.astype(np.bool_)
