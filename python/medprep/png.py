"""A small PNG encoder, so that pictures can be written with the base install."""

from __future__ import annotations

import struct
import zlib

import numpy as np

# Level 1 costs a third of level 6 on noisy photographs; the files are 3 % larger (256 px).
FAST_LEVEL = 1
_COLOUR_TYPE = {1: 0, 3: 2}  # channels -> PNG colour type: greyscale, truecolour


def encode_png(image: np.ndarray, *, level: int = FAST_LEVEL) -> bytes:
    """Encode an image as PNG: 8 bits, not interlaced, filter Sub on every row.

    image: (H, W), (H, W, 1) or (H, W, 3) uint8, at least one pixel. level: of zlib, 0..9.
    The same image gives the same bytes (of one zlib); nothing but pixels is stored.
    Follows the PNG specification, third edition, sections 5 and 9.
    """
    height, width = image.shape[:2]
    channels = image.shape[2] if image.ndim == 3 else 1
    rows = np.empty((height, 1 + channels * width), np.uint8)
    rows[:, 0] = 1  # filter type Sub
    flat = image.reshape(height, channels * width)
    first = 1 + channels
    rows[:, 1:first] = flat[:, :channels]
    # modulo 256, as the filter wants
    np.subtract(flat[:, channels:], flat[:, :-channels], out=rows[:, first:])
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPE[channels], 0, 0, 0)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", header),
            _chunk(b"IDAT", zlib.compress(rows.tobytes(), level)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)
