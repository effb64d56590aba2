"""Compare pixels with the CRC-32C that was recorded when they were written."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medtrain.data.split import Split
from medtrain.types import Batch


class RowChecks:
    """Finds damaged samples of a split and remembers them.

    mode: "never", "first" (each row once in this process: what the page cache holds was right
    then) or "always". One of a kind for each reading thread.
    """

    def __init__(self, split: Split, mode: str) -> None:
        self._split = split
        self._mode = mode if mode == "never" or split.has_checksums else "never"
        size = int(split.rows[-1]) + 1 if len(split) and self._mode == "first" else 0
        self._seen = np.zeros(size, np.bool_)
        self._damaged: set[int] = set()

    def damaged(self, batch: Batch) -> NDArray[np.bool_]:
        """(N,) which samples must not be used."""
        rows = batch.index.numpy()
        if self._mode == "never":
            return np.zeros(len(rows), np.bool_)
        if self._mode == "first" and self._seen[rows].all():
            return np.array([row in self._damaged for row in rows.tolist()], np.bool_)
        found = self._split.is_damaged(batch)
        self._damaged.update(rows[found].tolist())
        if self._mode == "first":
            self._seen[rows] = True
        return found
