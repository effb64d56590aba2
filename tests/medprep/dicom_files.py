"""Small DICOM files made from attributes; no library, so that damage is easy to plant."""

from __future__ import annotations

import struct

import numpy as np

EXPLICIT_LE = "1.2.840.10008.1.2.1"
RLE = "1.2.840.10008.1.2.5"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_2000 = "1.2.840.10008.1.2.4.90"

LONG_FORM = {"OB", "OW", "SQ", "UN", "UT"}


def element(group: int, number: int, vr: str, value: bytes, *, undefined: bool = False) -> bytes:
    if len(value) % 2:
        value += b"\0" if vr in ("UI", "OB") else b" "
    length = 0xFFFFFFFF if undefined else len(value)
    head = struct.pack("<HH", group, number) + vr.encode()
    head += struct.pack("<HI", 0, length) if vr in LONG_FORM else struct.pack("<H", length)
    return head + value


def us(group: int, number: int, value: int) -> bytes:
    return element(group, number, "US", struct.pack("<H", value))


def encapsulated(fragments: list[bytes]) -> bytes:
    """An empty offset table, the fragments, the delimiter."""
    items = [b"", *(f + b"\0" * (len(f) % 2) for f in fragments)]
    body = b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item for item in items)
    body += struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    return element(0x7FE0, 0x0010, "OB", body, undefined=True)


def dicom(
    pixels: np.ndarray,
    *,
    photometric: str = "MONOCHROME2",
    syntax: str = EXPLICIT_LE,
    bits_stored: int | None = None,
    frames: int | None = None,
    rescale: tuple[float, float] | None = None,
    window: tuple[float, float] | None = None,
    function: str | None = None,
    fragments: list[bytes] | None = None,
) -> bytes:
    """pixels: ([F,] H, W[, 3]) of an 8- or 16-bit type; fragments replace them when given."""
    samples = 3 if photometric in ("RGB", "YBR_FULL", "YBR_FULL_422") else 1
    height, width = pixels.shape[-3:-1] if samples == 3 else pixels.shape[-2:]
    bits = pixels.dtype.itemsize * 8
    meta = element(0x0002, 0x0001, "OB", b"\0\1")
    meta += element(0x0002, 0x0002, "UI", b"1.2.840.10008.5.1.4.1.1.7")
    meta += element(0x0002, 0x0003, "UI", b"1.2.3")
    meta += element(0x0002, 0x0010, "UI", syntax.encode())
    meta += element(0x0002, 0x0012, "UI", b"1.2.3")
    body = us(0x0028, 0x0002, samples)
    body += element(0x0028, 0x0004, "CS", photometric.encode())
    if samples == 3:
        body += us(0x0028, 0x0006, 0)
    if frames is not None:
        body += element(0x0028, 0x0008, "IS", str(frames).encode())
    body += us(0x0028, 0x0010, height) + us(0x0028, 0x0011, width)
    body += us(0x0028, 0x0100, bits) + us(0x0028, 0x0101, bits_stored or bits)
    body += us(0x0028, 0x0102, (bits_stored or bits) - 1)
    body += us(0x0028, 0x0103, int(pixels.dtype.kind == "i"))
    for number, value in ((0x1050, window and window[0]), (0x1051, window and window[1])):
        if value is not None:
            body += element(0x0028, number, "DS", f"{value}".encode())
    if rescale is not None:
        body += element(0x0028, 0x1052, "DS", f"{rescale[1]}".encode())
        body += element(0x0028, 0x1053, "DS", f"{rescale[0]}".encode())
    if function is not None:
        body += element(0x0028, 0x1056, "LO", function.encode())
    if fragments is None:
        little = pixels.astype(pixels.dtype.newbyteorder("<"))
        body += element(0x7FE0, 0x0010, "OB" if bits == 8 else "OW", little.tobytes())
    else:
        body += encapsulated(fragments)
    length = element(0x0002, 0x0000, "UL", struct.pack("<I", len(meta)))
    return b"\0" * 128 + b"DICM" + length + meta + body
