"""Samples that cannot be used: collected by the reader, settled by all ranks together.

A rank that raised alone would leave the others waiting in their next collective.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medtrain.data.split import Split
from medtrain.errors import MedprepError


class Complaint(NamedTuple):
    """What one rank has to say: rows to leave out, or why the run must end (empty: it need not)."""

    rows: NDArray[np.int64]
    message: str


class Trouble:
    """What one reader could not use. on_corrupt: "fail" or "skip"."""

    def __init__(self, split: Split, on_corrupt: str) -> None:
        self._split = split
        self._on_corrupt = on_corrupt
        self._rows: list[int] = []
        self._message = ""

    def __bool__(self) -> bool:
        """Whether there is anything to settle."""
        return bool(self._rows or self._message)

    def add(self, rows: list[int]) -> None:
        """Rows whose pixels are not those once written."""
        self._rows += rows

    def fail(self, error: MedprepError) -> None:
        """Something that cannot be left out, such as a whole shard."""
        self._message = self._message or str(error)

    def take(self) -> Complaint:
        """What is to be settled; afterwards there is none."""
        rows, message = np.array(self._rows, np.int64), self._message
        if len(rows) and self._on_corrupt == "fail":
            names = ", ".join(self._split.ids(rows[:3]).tolist())
            more = f" and {len(rows) - 3} more" if len(rows) > 3 else ""
            message = message or (
                f"split {self._split.name!r}: the pixels of {names}{more} are not those that "
                "were written (CRC-32C)"
            )
        self._rows, self._message = [], ""
        return Complaint(rows, message)
