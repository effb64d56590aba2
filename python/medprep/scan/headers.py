"""File headers of a whole listing, read in parallel by the core; no pixel is decoded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from medprep import _core
from medprep.sources.array_files import ArrayInfo
from medprep.sources.arrays import find_array, row_of

_AT_ONCE = 2048  # files between two looks at the progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What the header of one file says; height and width of the upright image, in pixels.

    channels: values per pixel in the file; 1 grey, 2 grey + alpha, 3 colour, 4 colour + alpha.
    bits: per value. size: of the file in bytes. frames: images in the file. icc: True when it has a
    colour profile.
    """

    path: str
    size: int
    format: str
    height: int
    width: int
    channels: int
    bits: int
    frames: int = 1
    icc: bool = False

    @property
    def mode(self) -> str:
        """Channels and bits in words: `RGB 8-bit`."""
        names = {1: "grey", 2: "grey + alpha", 3: "RGB", 4: "RGBA"}
        return f"{names.get(self.channels, f'{self.channels} channels')} {self.bits}-bit"


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file whose header cannot be read, and why."""

    path: str
    size: int
    reason: str


def read_headers(
    root: Path,
    paths: Sequence[str],
    *,
    threads: int,
    progress: Callable[[int], None] = lambda done: None,
) -> Iterator[Header | Unreadable]:
    """The header of every file in the order of `paths`; `progress` hears how many are done."""
    for start in range(0, len(paths), _AT_ONCE):
        some = list(paths[start : start + _AT_ONCE])
        for path, found in zip(some, _core.probe_files(str(root), some, threads), strict=True):
            yield _header(path, _size(root / path), found)
        progress(start + len(some))


def array_headers(root: Path, paths: Sequence[str]) -> Iterator[Header]:
    """The same for rows of arrays (layout `arrays`), whose shapes the array files know."""
    arrays: dict[tuple[str, str | None], ArrayInfo] = {}
    for path in paths:
        file, member, _ = row_of(path)
        if (file, member) not in arrays:
            arrays[file, member] = find_array(root, file, member)
        info = arrays[file, member]
        _, height, width, *rest = info.shape
        channels = rest[0] if rest else 1
        item_bytes = info.dtype.itemsize
        yield Header(
            path=path,
            size=height * width * channels * item_bytes,
            format="array",
            height=height,
            width=width,
            channels=channels,
            bits=8 * item_bytes,
        )


def _header(path: str, size: int, found: dict[str, int | str]) -> Header | Unreadable:
    if "error" in found:
        return Unreadable(path, size, str(found["error"]))
    return Header(
        path=path,
        size=size,
        format=str(found["format"]),
        height=int(found["height"]),
        width=int(found["width"]),
        channels=int(found["channels"]),
        bits=int(found["bit_depth"]),
        frames=int(found["frames"]),
        icc=bool(found["icc"]),
    )


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0  # the reason it cannot be read is on record
