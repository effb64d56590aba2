"""Boxes and captions of one shard: looked up where they lie in the mapped file.

Both are stored as one long array with the values of all rows and N+1 offsets into it.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medprep import npz
from medprep.errors import VerificationError


@dataclass(frozen=True, slots=True)
class ShardBoxes:
    """edges (M, 4) float32, labels (M,) int64, offsets (N+1,) int64."""

    edges: NDArray[np.float32]
    labels: NDArray[np.int64]
    offsets: NDArray[np.int64]

    def of(self, row: int) -> NDArray[np.float32]:
        """(K, 5) float32: x_min, y_min, x_max, y_max in stored pixels, label."""
        here = slice(int(self.offsets[row]), int(self.offsets[row + 1]))
        labels = self.labels[here, None].astype(np.float32)
        return np.concatenate([self.edges[here], labels], axis=1)


@dataclass(frozen=True, slots=True)
class ShardCaptions:
    """text (B,) uint8, UTF-8; offsets (N+1,) int64."""

    text: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    path: str

    def of(self, row: int) -> str | None:
        """The caption of a row, or None. Raises VerificationError when it is not UTF-8."""
        start, end = int(self.offsets[row]), int(self.offsets[row + 1])
        try:
            return self.text[start:end].tobytes().decode() or None
        except UnicodeDecodeError:
            raise _damaged(self.path, f"the caption of row {row} is not UTF-8") from None


def read_boxes(
    file: mmap.mmap, members: Mapping[str, npz.Member], path: str, *, rows: int, classes: int
) -> ShardBoxes:
    """The boxes of a shard. Raises VerificationError when they cannot be those of `rows` rows."""
    edges = _read(
        file, members, path, "boxes", lambda a: a.ndim == 2 and a.shape[1] == 4, np.float32
    )
    labels = _read(file, members, path, "box_labels", lambda a: a.shape == edges.shape[:1])
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        raise _damaged(path, f"box labels must be in 0..{classes - 1}")
    offsets = _offsets(file, members, path, "box_offsets", rows=rows, end=len(edges))
    return ShardBoxes(edges, labels, offsets)


def read_captions(
    file: mmap.mmap, members: Mapping[str, npz.Member], path: str, *, rows: int
) -> ShardCaptions:
    """The captions of a shard. Raises VerificationError as `read_boxes`."""
    text = _read(file, members, path, "captions", lambda a: a.ndim == 1, np.uint8)
    offsets = _offsets(file, members, path, "caption_offsets", rows=rows, end=len(text))
    return ShardCaptions(text, offsets, path)


def _offsets(
    file: mmap.mmap,
    members: Mapping[str, npz.Member],
    path: str,
    name: str,
    *,
    rows: int,
    end: int,
) -> NDArray[np.int64]:
    offsets = _read(file, members, path, name, lambda a: a.shape == (rows + 1,))
    if offsets[0] != 0 or offsets[-1] != end or (np.diff(offsets) < 0).any():
        raise _damaged(path, f"{name} must rise from 0 to {end}")
    return offsets


def _read(
    file: mmap.mmap,
    members: Mapping[str, npz.Member],
    path: str,
    name: str,
    fits: Callable[[NDArray[Any]], bool],
    dtype: type = np.int64,
) -> NDArray[Any]:
    if name not in members:
        raise _damaged(path, f"the member {name!r} is missing")
    found = npz.read_array(file, members[name], path)
    if found.dtype != dtype or not fits(found):
        raise _damaged(path, f"the member {name!r} is {found.shape} of {found.dtype}")
    return found


def _damaged(path: str, reason: str) -> VerificationError:
    return VerificationError(
        f"{path}: damaged shard: {reason}",
        path=path,
        stage="verify",
        hint="`medprep verify OUT` lists all damage; delete the file and rerun `medprep shard`",
    )
