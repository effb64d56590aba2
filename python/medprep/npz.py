"""Read the members of an NPZ shard where they lie: no copy, no pickle, no trust in sizes.

Only what our own writer produces is accepted: ZIP (with ZIP64) of stored or deflated members,
each a version 1 or 2 NPY array in C order. Every size comes from shape x dtype and is compared
with what the ZIP directory says before anything is read or allocated.
"""

from __future__ import annotations

import mmap
import re
import struct
import zlib
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medprep.errors import VerificationError

_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_STORED, _DEFLATED = 0, 8
_MAX_MEMBERS = 64
_MAX_HEADER = 4096  # ours are 128 bytes
_MAX_RATIO = 1100  # deflate cannot exceed 1032:1; more is a lie about the size
_FIXED_DTYPES = frozenset({"|u1", "<u2", "<f4", "<i8"})
_TEXT_DTYPE = re.compile(r"<U([1-9]\d{0,3})")
_HEADER = re.compile(
    r"\{'descr': '([^']{2,8})', 'fortran_order': False, "
    r"'shape': \(((?:\d{1,19}, ?)*\d{0,19},?)\), \} *\n"
)


@dataclass(frozen=True, slots=True)
class Member:
    """One array of the file: where its NPY bytes are, before decompression."""

    name: str
    method: int
    crc32: int
    offset: int
    compressed_bytes: int
    npy_bytes: int


def read_directory(file: mmap.mmap, path: str) -> dict[str, Member]:
    """The members of an NPZ by array name, checked to lie inside the file without overlap.

    Raises VerificationError when the file is not such a ZIP.
    """
    start, size, count = _find_directory(file, path)
    members: dict[str, Member] = {}
    at = start
    for _ in range(count):
        member, at = _read_entry(file, at, start + size, path)
        if member.name in members:
            raise _damaged(path, f"two members named {member.name!r}")
        members[member.name] = member
    spans = sorted((m.offset, m.offset + m.compressed_bytes) for m in members.values())
    ends = [end for _, end in spans]
    if any(begin < end for (begin, _), end in zip(spans[1:], ends, strict=False)) or (
        ends and ends[-1] > start
    ):
        raise _damaged(path, "members overlap")
    return members


def read_array(file: mmap.mmap, member: Member, path: str) -> NDArray[Any]:
    """The array of a member: a read-only view when stored, decompressed into memory otherwise.

    Raises VerificationError when size, shape and dtype disagree or the dtype is not one of ours.
    """
    if member.method == _STORED:
        dtype, shape, data_at = _parse_header(file, member.offset, member.npy_bytes, path, member)
        return np.frombuffer(file, dtype, prod(shape), member.offset + data_at).reshape(shape)
    npy = _inflate(file, member, path)
    dtype, shape, data_at = _parse_header(npy, 0, len(npy), path, member)
    return np.frombuffer(npy, dtype, prod(shape), data_at).reshape(shape)


def is_mapped(member: Member) -> bool:
    """True when the member is stored, so that reading it copies nothing."""
    return member.method == _STORED


def _find_directory(file: mmap.mmap, path: str) -> tuple[int, int, int]:
    """(offset, bytes, entries) of the central directory. Our files carry no comment."""
    end_at = len(file) - _END.size
    if end_at < 0:
        raise _damaged(path, f"{len(file)} bytes are too few for an NPZ")
    magic, disk, _, _, count, size, start, comment = _END.unpack_from(file, end_at)
    if magic != b"PK\5\6" or comment or disk not in (0, 0xFFFF):
        raise _damaged(path, "no ZIP directory at the end: truncated, or not an NPZ")
    if count == 0xFFFF or size == 0xFFFFFFFF or start == 0xFFFFFFFF:
        locator_at = end_at - _END64_LOCATOR.size
        if locator_at < 0 or file[locator_at : locator_at + 4] != b"PK\6\7":
            raise _damaged(path, "the ZIP64 locator is missing")
        end64_at = _END64_LOCATOR.unpack_from(file, locator_at)[2]
        if end64_at + _END64.size > locator_at or file[end64_at : end64_at + 4] != b"PK\6\6":
            raise _damaged(path, "the ZIP64 directory is missing")
        count, size, start = _END64.unpack_from(file, end64_at)[7:10]
        end_at = end64_at
    if start + size > end_at or count > _MAX_MEMBERS:
        raise _damaged(path, "the ZIP directory lies about its place or length")
    return start, size, count


def _read_entry(file: mmap.mmap, at: int, end: int, path: str) -> tuple[Member, int]:
    """One entry of the central directory and where the next begins."""
    if at + _CENTRAL.size > end or file[at : at + 4] != b"PK\1\2":
        raise _damaged(path, "the ZIP directory is cut short")
    fields = _CENTRAL.unpack_from(file, at)
    flags, method, crc32 = fields[3], fields[4], fields[7]
    compressed, plain, name_len, extra_len, comment_len = fields[8:13]
    local_at = fields[16]
    name_at = at + _CENTRAL.size
    extra_at = name_at + name_len
    after = extra_at + extra_len + comment_len
    if after > end:
        raise _damaged(path, "the ZIP directory is cut short")
    name = file[name_at:extra_at].decode("utf-8", errors="replace")
    if not name.endswith(".npy") or not name[:-4].isidentifier():
        raise _damaged(path, f"unexpected member {name!r}")
    if method not in (_STORED, _DEFLATED) or flags & 0x1:
        raise _damaged(path, f"member {name!r} is encrypted or uses compression method {method}")
    plain, compressed, local_at = _zip64(
        file[extra_at : extra_at + extra_len], (plain, compressed, local_at), path
    )
    if (method == _STORED and plain != compressed) or plain > _MAX_RATIO * compressed + 4096:
        raise _damaged(path, f"member {name!r} lies about its size")
    offset = _data_offset(file, local_at, file[name_at:extra_at], path)
    if offset + compressed > len(file):
        raise _damaged(path, f"member {name!r} ends beyond the file")
    return Member(name[:-4], method, crc32, offset, compressed, plain), after


def _zip64(extra: bytes, values: tuple[int, int, int], path: str) -> tuple[int, int, int]:
    """Sizes and offset of an entry, the saturated ones taken from its ZIP64 extra field."""
    if 0xFFFFFFFF not in values:
        return values
    at = 0
    while at + 4 <= len(extra):
        tag, size = struct.unpack_from("<2H", extra, at)
        body = extra[at + 4 : at + 4 + size]
        if tag == 1 and len(body) == size and size % 8 == 0:
            wide = list(struct.unpack(f"<{size // 8}Q", body))
            if len(wide) >= values.count(0xFFFFFFFF):
                plain, compressed, offset = (
                    wide.pop(0) if value == 0xFFFFFFFF else value for value in values
                )
                return plain, compressed, offset
        at += 4 + size
    raise _damaged(path, "a ZIP64 field is missing")


def _data_offset(file: mmap.mmap, at: int, name: bytes, path: str) -> int:
    """Where the data of the member with the local header at `at` begins."""
    if at + _LOCAL.size > len(file) or file[at : at + 4] != b"PK\3\4":
        raise _damaged(path, "a member's local header is missing")
    name_len, extra_len = _LOCAL.unpack_from(file, at)[9:11]
    name_at = at + _LOCAL.size
    if file[name_at : name_at + name_len] != name:
        raise _damaged(path, "a member's two headers disagree about its name")
    return int(name_at + name_len + extra_len)


def _parse_header(
    npy: mmap.mmap | bytes, at: int, npy_bytes: int, path: str, member: Member
) -> tuple[np.dtype[Any], tuple[int, ...], int]:
    """(dtype, shape, offset of the data inside the NPY); the data fills the rest exactly."""
    version = npy[at : at + 8]
    if version[:6] != b"\x93NUMPY" or npy_bytes < 12:
        raise _damaged(path, f"member {member.name!r} is not an NPY array")
    if version[6:] == b"\1\0":
        data_at = 10 + struct.unpack_from("<H", npy, at + 8)[0]
        text_at = at + 10
    elif version[6:] == b"\2\0":
        data_at = 12 + struct.unpack_from("<L", npy, at + 8)[0]
        text_at = at + 12
    else:
        raise _damaged(path, f"member {member.name!r} has an unknown NPY version")
    if data_at > min(npy_bytes, _MAX_HEADER):
        raise _damaged(path, f"member {member.name!r} has an overlong NPY header")
    match = _HEADER.fullmatch(npy[text_at : at + data_at].decode("latin-1"))
    if match is None:
        raise _damaged(path, f"member {member.name!r} has a malformed NPY header")
    if match[1] not in _FIXED_DTYPES and not _TEXT_DTYPE.fullmatch(match[1]):
        raise _damaged(path, f"member {member.name!r} has the dtype {match[1]!r}")
    dtype: np.dtype[Any] = np.dtype(match[1])
    shape = tuple(int(part) for part in match[2].split(",") if part.strip())
    if data_at + prod(shape) * dtype.itemsize != npy_bytes:
        raise _damaged(
            path,
            f"member {member.name!r}: {shape} of {match[1]} needs "
            f"{prod(shape) * dtype.itemsize} bytes, found {npy_bytes - data_at}",
        )
    return dtype, shape, data_at


def _inflate(file: mmap.mmap, member: Member, path: str) -> bytes:
    """The bytes of a deflated member; never more than its directory entry announces."""
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        npy = stream.decompress(
            file[member.offset : member.offset + member.compressed_bytes], member.npy_bytes + 1
        )
    except zlib.error as error:
        raise _damaged(path, f"member {member.name!r}: {error}") from None
    if len(npy) != member.npy_bytes or not stream.eof:
        raise _damaged(path, f"member {member.name!r} does not inflate to {member.npy_bytes} bytes")
    if zlib.crc32(npy) != member.crc32:
        raise _damaged(path, f"member {member.name!r} fails its CRC-32")
    return npy


def _damaged(path: str, reason: str) -> VerificationError:
    return VerificationError(
        f"{path}: damaged shard: {reason}",
        path=path,
        stage="verify",
        hint="`medprep verify OUT` lists all damage; delete the file and rerun `medprep shard`",
    )
