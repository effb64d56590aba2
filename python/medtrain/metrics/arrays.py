"""Array types of the metrics, and the one order in which rows are counted.

Shapes: N rows (samples), K classes, G groups (patients), B resamples.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
AnyArray = NDArray[Any]


def group_codes(groups: AnyArray | None, n: int) -> IntArray | None:
    """Number the groups 0..G-1 in the order of their names; None stays None.

    groups: (N,) text. An empty name means "unknown": such a row is a group of its own.
    """
    if groups is None:
        return None
    names = np.asarray(groups).astype(str)
    if names.shape != (n,):
        raise ValueError(f"groups must have shape ({n},), got {names.shape}")
    unknown = names == ""
    _, codes = np.unique(names, return_inverse=True)
    codes = codes.astype(np.int64).reshape(n)
    codes[unknown] = n + np.arange(np.count_nonzero(unknown))
    _, dense = np.unique(codes, return_inverse=True)
    return dense.astype(np.int64).reshape(n)


def canonical_order(logits: AnyArray, labels: IntArray, codes: IntArray | None) -> IntArray:
    """Return the row order that depends on the rows' values alone.

    Sums round differently in another order, and a resample draws rows by position: with this
    order every metric is the same to the bit however many processes delivered the rows.
    """
    keys = [logits[:, k] for k in range(logits.shape[1])]
    keys.append(labels)
    if codes is not None:
        keys.append(codes)
    return np.lexsort(keys).astype(np.int64)
