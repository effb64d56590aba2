"""Arrays in .npy and .npz files, read by rows and never trusted about their size.

No pickles: object arrays are refused by their header. Every size comes from shape x dtype and must
equal what the file holds before anything of it is allocated.
"""

from __future__ import annotations

import contextlib
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from medprep.errors import UsageError

SUFFIXES = (".npz", ".npy")
_KINDS = "buif"  # bool, whole numbers, floats: all that images and labels can be
_MAX_MEMBERS = 256
_MAX_SMALL = 2**28  # bytes of labels; 33 million of int64
_DAMAGES = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError),
    # what NumPy's parser of headers lets through
    *(ValueError, KeyError, TypeError, OverflowError, SyntaxError, tokenize.TokenError),
)
_MAX_RATIO = 1100  # deflate cannot exceed 1032:1; more is a lie about the size


@dataclass(frozen=True, slots=True)
class ArrayInfo:
    """What the header of one array says; `member` is None in a .npy."""

    file: str
    member: str | None
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    in_c_order: bool

    @property
    def name(self) -> str:
        """`file.npz#member` or `file.npy`."""
        return self.file if self.member is None else f"{self.file}#{self.member}"

    @property
    def row_bytes(self) -> int:
        """Bytes of one row (all axes but the first)."""
        return prod(self.shape[1:]) * self.dtype.itemsize


def read_headers(root: Path, file: str) -> dict[str, ArrayInfo]:
    """The arrays of a file by name (the stem for a .npy).

    Raises UsageError for files that are damaged, hold objects, or lie about a size.
    """
    path = root / file
    with _explained(path):
        if path.suffix.lower() == ".npy":
            with path.open("rb") as stream:
                info = _read_header(stream, path, file, None, path.stat().st_size)
            return {path.stem: info}
        return _read_members(path, file)


def read_small(root: Path, info: ArrayInfo) -> NDArray[np.generic]:
    """A whole array such as labels. Raises UsageError over 256 MiB or when damaged."""
    size = prod(info.shape) * info.dtype.itemsize
    if size > _MAX_SMALL:
        raise UsageError(f"{root / info.file}: {info.name}: {size} bytes are too many for labels")
    with _open_rows(root, info) as stream:
        data = _read_exactly(stream, size, root / info.file)
    flat: NDArray[np.generic] = np.frombuffer(data, info.dtype)
    return flat.reshape(info.shape) if info.in_c_order else flat.reshape(info.shape[::-1]).T


def read_rows(root: Path, info: ArrayInfo, rows: list[int]) -> Iterator[NDArray[np.generic]]:
    """The wanted rows (ascending) one by one; memory is that of one row.

    Raises UsageError when the file is damaged.
    """
    at = 0
    with _open_rows(root, info) as stream:
        for row in rows:
            _skip(stream, (row - at) * info.row_bytes, root / info.file)
            data = _read_exactly(stream, info.row_bytes, root / info.file)
            at = row + 1
            yield np.frombuffer(data, info.dtype).reshape(info.shape[1:])


def _read_members(path: Path, file: str) -> dict[str, ArrayInfo]:
    found: dict[str, ArrayInfo] = {}
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if len(entries) > _MAX_MEMBERS:
            raise _damaged(path, f"{len(entries)} members; at most {_MAX_MEMBERS} are read")
        for entry in entries:
            name = entry.filename.removesuffix(".npy")
            if name in found:
                raise _damaged(path, f"two members named {name!r}")
            if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise _damaged(path, f"{name!r} is packed by a method that NumPy does not write")
            if entry.file_size > _MAX_RATIO * max(entry.compress_size, 1):
                raise _damaged(path, f"{name!r} claims more bytes than it can unpack to")
            with archive.open(entry) as stream:
                found[name] = _read_header(stream, path, file, name, entry.file_size)
    return found


def _read_header(
    stream: IO[bytes], path: Path, file: str, member: str | None, size: int
) -> ArrayInfo:
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    version = np.lib.format.read_magic(stream)
    if version not in read:
        raise _damaged(path, f"NPY version {version[0]}.{version[1]} is not read")
    shape, is_fortran, dtype = read[version](stream)
    if dtype.kind not in _KINDS:
        raise _damaged(path, f"{member or file!r} holds {dtype}, expected numbers")
    needed = stream.tell() + prod(shape) * dtype.itemsize
    if any(axis < 0 for axis in shape) or needed != size:
        raise _damaged(
            path, f"{member or file!r} of {shape} {dtype} needs {needed} bytes, has {size}"
        )
    return ArrayInfo(file, member, dtype, shape, not is_fortran or len(shape) < 2)


@contextlib.contextmanager
def _open_rows(root: Path, info: ArrayInfo) -> Iterator[IO[bytes]]:
    """The bytes of an array after its header."""
    path = root / info.file
    with _explained(path), contextlib.ExitStack() as stack:
        stream: IO[bytes]
        if info.member is None:
            stream = stack.enter_context(path.open("rb"))
        else:
            archive = stack.enter_context(zipfile.ZipFile(path))
            stream = stack.enter_context(archive.open(f"{info.member}.npy"))
        _read_header(stream, path, info.file, info.member, _size(path, info, stack))
        yield stream


def _size(path: Path, info: ArrayInfo, stack: contextlib.ExitStack) -> int:
    if info.member is None:
        return path.stat().st_size
    return stack.enter_context(zipfile.ZipFile(path)).getinfo(f"{info.member}.npy").file_size


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what a damaged file raises into one line."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"{path}: cannot read: {error.strerror or error}") from None
    except _DAMAGES as error:
        raise _damaged(path, (str(error).splitlines() or [type(error).__name__])[0]) from None


def _skip(stream: IO[bytes], count: int, path: Path) -> None:
    """Pass over bytes; of a compressed member by unpacking them."""
    if count and isinstance(stream, zipfile.ZipExtFile):
        while count:
            count -= len(_read_exactly(stream, min(count, 2**20), path))
    elif count:
        stream.seek(count, 1)


def _read_exactly(stream: IO[bytes], count: int, path: Path) -> bytes:
    data = stream.read(count)
    if len(data) != count:
        raise _damaged(path, "the file ends inside an array")
    return data


def _damaged(path: Path, reason: str) -> UsageError:
    return UsageError(f"{path}: not a valid array file: {reason}")
