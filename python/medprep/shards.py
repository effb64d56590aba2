"""Read shards without copying: every image is a view into the memory-mapped file."""

from __future__ import annotations

import functools
import mmap
import operator
import resource
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medprep import checksums, npz
from medprep import manifest as manifest_file
from medprep.errors import StorageError, UsageError, VerificationError
from medprep.manifest import Manifest, ShardEntry
from medprep.shard_annotations import ShardBoxes, ShardCaptions, read_boxes, read_captions
from medprep.types import Sample


@dataclass(frozen=True, slots=True)
class _Shard:
    """The arrays of one open shard."""

    images: NDArray[Any]
    labels: NDArray[np.int64]
    ids: NDArray[np.str_]
    groups: NDArray[np.str_] | None
    is_mapped: bool
    boxes: Callable[[], ShardBoxes]
    captions: Callable[[], ShardCaptions]


class ShardReader:
    """Random access to the samples of OUT, or of one split of it, in plan order.

    out: a folder made by `medprep shard`.
    split: `train`, `val`, `test`, ...; None reads all splits one after the other.
    manifest: of OUT, where the caller has read it already.

    Shards are mapped on first use and shared through the page cache between processes; there are
    no threads. Pickling carries the path, not the data. Compressed shards (`--compress deflate`)
    cannot be mapped: the one last used is held in memory, so read those in order.

    Raises UsageError when OUT has no manifest or no such split, VerificationError when a shard is
    missing, has another size than the manifest says, or is damaged.
    """

    def __init__(
        self, out: str | Path, split: str | None = None, *, manifest: Manifest | None = None
    ) -> None:
        self.out = Path(out)
        self.split = split
        self.manifest: Manifest = manifest or manifest_file.load(self.out)
        if split is not None and split not in self.manifest.splits:
            raise UsageError(
                f"{self.out}: no split {split!r}; it has {', '.join(self.manifest.splits)}"
            )
        self._entries = [s for s in self.manifest.shards if split in (None, s.split)]
        for entry in self._entries:
            _check_size(self.out / entry.name, entry)
        counts = [entry.count for entry in self._entries]
        self._starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64)
        self._open: dict[int, _Shard] = {}
        self._labels: NDArray[np.int64] | None = None
        self._ids: NDArray[np.str_] | None = None
        self._checksums: dict[int, NDArray[np.uint32] | None] = {}

    def __len__(self) -> int:
        """Number of samples."""
        return int(self._starts[-1])

    def __getitem__(self, index: int) -> Sample:
        """The sample at `index` (negative counts from the end); its image is a read-only view."""
        shard_at, row = self._locate(operator.index(index))
        shard = self._shard(shard_at)
        return Sample(
            shard.images[row],
            int(shard.labels[row]),
            str(shard.ids[row]),
            None if shard.groups is None else str(shard.groups[row]) or None,
            self._entries[shard_at].split,
            self._boxes(shard, row),
            self._caption(shard, row),
        )

    def __iter__(self) -> Iterator[Sample]:
        """All samples in plan order."""
        return (self[index] for index in range(len(self)))

    def boxes(self, index: int) -> NDArray[np.float32] | None:
        """The boxes of the sample at `index`; None when the data set has none.

        (M, 5) float32: x_min, y_min, x_max, y_max in pixels of the stored image, and the label,
        an index into `manifest.box_classes`.
        """
        shard_at, row = self._locate(operator.index(index))
        return self._boxes(self._shard(shard_at), row)

    def caption(self, index: int) -> str | None:
        """The caption of the sample at `index`, or None."""
        shard_at, row = self._locate(operator.index(index))
        return self._caption(self._shard(shard_at), row)

    def _boxes(self, shard: _Shard, row: int) -> NDArray[np.float32] | None:
        return None if self.manifest.boxes is None else shard.boxes().of(row)

    def _caption(self, shard: _Shard, row: int) -> str | None:
        return None if self.manifest.captions is None else shard.captions().of(row)

    def batch(self, indices: ArrayLike | Sequence[int]) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Gather samples, in the order of `indices`, into new arrays.

        Returns images (N, H, W, C) of the stored dtype and labels (N,) int64.
        Raises IndexError for an index outside -len..len-1.
        """
        wanted = np.asarray(indices, dtype=np.int64).reshape(-1)
        at = np.where(wanted < 0, wanted + len(self), wanted)
        if at.size and (at.min() < 0 or at.max() >= len(self)):
            raise IndexError(f"sample indices must be in 0..{len(self) - 1}")
        image = self.manifest.image
        images = np.empty((at.size, *image.shape), dtype=np.dtype(image.dtype))
        labels = np.empty(at.size, dtype=np.int64)
        shard_of = np.searchsorted(self._starts, at, side="right") - 1
        for shard_at in np.unique(shard_of):
            shard = self._shard(int(shard_at))
            here = np.flatnonzero(shard_of == shard_at)
            rows = at[here] - self._starts[shard_at]
            images[here] = shard.images[rows]
            labels[here] = shard.labels[rows]
        return images, labels

    def is_damaged(self, indices: NDArray[np.int64], images: NDArray[Any]) -> NDArray[np.bool_]:
        """Which of the gathered images are not those that were written, by their CRC-32C.

        indices: (N,) in 0..len-1; images: as `batch` gave them. Returns (N,); False for rows of
        shards without a record (see `has_checksums`).
        """
        shard_of = np.searchsorted(self._starts, indices, side="right") - 1
        damaged = np.zeros(len(indices), np.bool_)
        for at, (index, shard_at) in enumerate(zip(indices, shard_of, strict=True)):
            expected = self._checksums_of(int(shard_at))
            if expected is not None:
                row = index - self._starts[shard_at]
                damaged[at] = checksums.crc32c(images[at]) != expected[row]
        return damaged

    @property
    def has_checksums(self) -> bool:
        """Whether rows can be checked: the first shard has a record of them."""
        return bool(self._entries) and self._checksums_of(0) is not None

    @property
    def labels(self) -> NDArray[np.int64]:
        """(N,) int64; -1 = unlabelled."""
        if self._labels is None:
            parts = [shard.labels for shard in self._shards()]
            self._labels = np.concatenate(parts) if parts else np.empty(0, np.int64)
        return self._labels

    @property
    def ids(self) -> NDArray[np.str_]:
        """(N,) fixed-width text: relative paths, or keyed ids of a private data set."""
        if self._ids is None:
            parts = [shard.ids for shard in self._shards()]
            self._ids = np.concatenate(parts) if parts else np.empty(0, np.str_)
        return self._ids

    @property
    def groups(self) -> NDArray[np.str_] | None:
        """(N,) fixed-width text, empty where a sample has no group; None when there are none."""
        parts = [shard.groups for shard in self._shards()]
        present = [part for part in parts if part is not None]
        if not present:
            return None
        filled = [
            np.zeros(entry.count, dtype="<U1") if part is None else part
            for part, entry in zip(parts, self._entries, strict=True)
        ]
        return np.concatenate(filled)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the mappings behind: the receiving process opens its own."""
        return {**self.__dict__, "_open": {}, "_labels": None, "_ids": None}

    def _checksums_of(self, shard_at: int) -> NDArray[np.uint32] | None:
        if shard_at not in self._checksums:
            entry = self._entries[shard_at]
            self._checksums[shard_at] = checksums.of_shard(self.out, entry.name, entry.count)
        return self._checksums[shard_at]

    def _locate(self, index: int) -> tuple[int, int]:
        at = index + len(self) if index < 0 else index
        if not 0 <= at < len(self):
            raise IndexError(f"sample {index} is outside 0..{len(self) - 1}")
        shard_at = int(np.searchsorted(self._starts, at, side="right")) - 1
        return shard_at, int(at - self._starts[shard_at])

    def _shards(self) -> Iterator[_Shard]:
        return (self._shard(at) for at in range(len(self._entries)))

    def _shard(self, at: int) -> _Shard:
        shard = self._open.get(at)
        if shard is None:
            entry = self._entries[at]
            shard = _open_shard(self.out / entry.name, entry, self.manifest)
            if not shard.is_mapped:
                self._open = {key: kept for key, kept in self._open.items() if kept.is_mapped}
            # Every mapping holds a file open; of many shards the one opened first has to go.
            while len(self._open) >= _most_open():
                del self._open[next(iter(self._open))]
            self._open[at] = shard
        return shard


def _most_open() -> int:
    """Shards that one reader may hold: a training run reads three splits and needs other files."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2**20 if soft == resource.RLIM_INFINITY else max(16, soft // 4)


def _check_size(path: Path, entry: ShardEntry) -> None:
    try:
        found = path.stat().st_size
    except FileNotFoundError:
        raise VerificationError(
            f"{path}: the shard is missing",
            path=str(path),
            stage="verify",
            hint="rerun `medprep shard` with the same options to make it again",
        ) from None
    except OSError as error:
        raise StorageError(f"{path}: cannot open: {error.strerror}", path=str(path)) from None
    if found != entry.bytes:
        raise VerificationError(
            f"{path}: {found} bytes, but the manifest says {entry.bytes}",
            path=str(path),
            stage="verify",
            hint="delete the file and rerun `medprep shard`, or run `medprep verify OUT`",
        )


def _open_shard(path: Path, entry: ShardEntry, manifest: Manifest) -> _Shard:
    try:
        with path.open("rb") as stream:
            mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise StorageError(f"{path}: cannot map: {error.strerror}", path=str(path)) from None
    members = npz.read_directory(mapped, str(path))

    def array(name: str, fits: Callable[[NDArray[Any]], bool]) -> NDArray[Any]:
        if name not in members:
            raise VerificationError(f"{path}: the member {name!r} is missing", path=str(path))
        found = npz.read_array(mapped, members[name], str(path))
        if not fits(found):
            raise VerificationError(
                f"{path}: the member {name!r} is {found.shape} of {found.dtype}, "
                "which is not what the manifest says",
                path=str(path),
            )
        return found

    rows = (entry.count,)
    where = (mapped, members, str(path))
    classes = len(manifest.box_classes or ())
    image = manifest.image
    return _Shard(
        images=array(
            "images",
            lambda a: a.shape == (*rows, *image.shape) and a.dtype == np.dtype(image.dtype),
        ),
        labels=array("labels", lambda a: a.shape == rows and a.dtype == np.dtype("<i8")),
        ids=array("ids", lambda a: a.shape == rows and a.dtype.kind == "U"),
        groups=array("group", lambda a: a.shape == rows and a.dtype.kind == "U")
        if "group" in members
        else None,
        is_mapped=npz.is_mapped(members["images"]),
        # Read and checked when asked for first: most readers want images only.
        boxes=functools.cache(lambda: read_boxes(*where, rows=entry.count, classes=classes)),
        captions=functools.cache(lambda: read_captions(*where, rows=entry.count)),
    )
