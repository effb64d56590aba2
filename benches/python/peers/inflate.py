"""What the bare inflate peers share: the compressed stream of a PNG and the size of its content."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import Any

from peers import Chain

SIGNATURE_BYTES = 8
NOTE = "inflates into one buffer, nothing else: no unfilter, no pixels"


def idat_of(data: bytes) -> tuple[bytes, int]:
    """All IDAT chunks of a PNG joined, and how many bytes they inflate to."""
    parts, at = [], SIGNATURE_BYTES
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"IDAT":
            parts.append(data[at + 8 : at + 8 + length])
        at += 12 + length
    stream = b"".join(parts)
    # By inflating, outside the measured time: right for interlaced and palette files, too.
    return stream, len(zlib.decompress(stream))


def inflate_chain(inflate: Callable[[bytes, int], Any]) -> Chain:
    """inflate: gets the stream and the size of the output, as a decoder knows it."""

    def run(stream: tuple[bytes, int]) -> None:
        inflate(*stream)

    return Chain(run=run, prepare=idat_of, note=NOTE)
