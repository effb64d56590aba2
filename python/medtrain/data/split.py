"""One split of a data set as the loaders see it: the labelled samples, by position."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from medprep.manifest import Manifest
from medprep.shards import ShardReader
from medtrain.types import Batch

UNLABELLED = -1


class Split:
    """The labelled samples of one split; unlabelled ones (label -1) are left out.

    `rows` are places in the split as stored, so a sample keeps its number (and with it the
    randomness of its augmentation) whatever else is left out.
    """

    def __init__(self, out: str | Path, name: str, manifest: Manifest | None = None) -> None:
        self.name = name
        self._reader = ShardReader(out, name, manifest=manifest)
        self._entry = self._reader.manifest.splits[name]
        self.rows: NDArray[np.int64] = np.arange(len(self._reader), dtype=np.int64)
        if self._entry.unlabelled:
            # Only then must every shard be opened before the first batch.
            self.rows = np.flatnonzero(self._reader.labels != UNLABELLED).astype(np.int64)

    def __len__(self) -> int:
        """Number of labelled samples."""
        return len(self.rows)

    def batch(self, positions: NDArray[np.int64]) -> Batch:
        """Copy the samples at `positions` (0..len-1) out of the mapped shards."""
        rows = self.rows[positions]
        images, labels = self._reader.batch(rows)
        return Batch(torch.from_numpy(images), torch.from_numpy(labels), torch.from_numpy(rows))

    def class_counts(self, num_classes: int) -> NDArray[np.int64]:
        """Labelled samples of each class, as the manifest has them."""
        counts = np.zeros(num_classes, np.int64)
        counts[: len(self._entry.class_counts)] = self._entry.class_counts
        return counts

    def ids(self, rows: NDArray[np.int64]) -> NDArray[np.str_]:
        """The ids of stored rows."""
        return self._reader.ids[rows]

    def groups(self, rows: NDArray[np.int64]) -> NDArray[np.str_] | None:
        """The groups (patients) of stored rows; None when the data set has none."""
        groups: NDArray[Any] | None = self._reader.groups
        return None if groups is None else groups[rows]

    @property
    def has_checksums(self) -> bool:
        """Whether pixels can be compared with what was once written."""
        return self._reader.has_checksums

    def is_damaged(self, batch: Batch) -> NDArray[np.bool_]:
        """(N,) which samples of a batch fail their CRC-32C."""
        return self._reader.is_damaged(batch.index.numpy(), batch.images.numpy())
