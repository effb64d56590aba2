"""Small DICOM files made from attributes; no library, so that damage is easy to plant."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

IMPLICIT_LE = "1.2.840.10008.1.2"
EXPLICIT_LE = "1.2.840.10008.1.2.1"
ENCAPSULATED = "1.2.840.10008.1.2.1.98"
DEFLATED = "1.2.840.10008.1.2.1.99"
EXPLICIT_BE = "1.2.840.10008.1.2.2"
RLE = "1.2.840.10008.1.2.5"
DEFLATED_FRAME = "1.2.840.10008.1.2.8.1"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.57"
JPEG_LOSSLESS_SV1 = "1.2.840.10008.1.2.4.70"
JPEG_2000 = "1.2.840.10008.1.2.4.90"

LONG_FORM = {"OB", "OW", "SQ", "UN", "UT"}

Elements = Mapping[tuple[int, int], tuple[str, bytes]]


def element(
    group: int,
    number: int,
    vr: str,
    value: bytes,
    *,
    undefined: bool = False,
    syntax: str = EXPLICIT_LE,
) -> bytes:
    if len(value) % 2:
        value += b"\0" if vr in ("UI", "OB") else b" "
    order = ">" if syntax == EXPLICIT_BE else "<"
    length = 0xFFFFFFFF if undefined else len(value)
    head = struct.pack(order + "HH", group, number)
    if syntax == IMPLICIT_LE:
        return head + struct.pack("<I", length) + value
    head += vr.encode()
    if vr in LONG_FORM:
        return head + struct.pack(order + "HI", 0, length) + value
    return head + struct.pack(order + "H", length) + value


def us(group: int, number: int, value: int) -> bytes:
    return element(group, number, "US", struct.pack("<H", value))


def item(body: bytes) -> bytes:
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(body)) + body


def sequence(group: int, number: int, bodies: Sequence[bytes]) -> bytes:
    """Items and a sequence of undefined length, as most devices write them."""
    open_item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    end_item = struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
    inside = b"".join(open_item + body + end_item for body in bodies)
    inside += struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    return element(group, number, "SQ", inside, undefined=True)


def lut(entries: np.ndarray, *, first: int, bits: int) -> bytes:
    """The item of a modality or VOI LUT sequence."""
    descriptor = struct.pack("<HHH", len(entries) % 65536, first % 65536, bits)
    body = element(0x0028, 0x3002, "US", descriptor)
    return body + element(0x0028, 0x3006, "OW", entries.astype("<u2").tobytes())


def encapsulated(fragments: Sequence[bytes], table: Sequence[int] = ()) -> bytes:
    """The offset table, the fragments, the delimiter."""
    items = [struct.pack(f"<{len(table)}I", *table), *(f + b"\0" * (len(f) % 2) for f in fragments)]
    body = b"".join(item(part) for part in items)
    body += struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    return element(0x7FE0, 0x0010, "OB", body, undefined=True)


def meta_group(syntax: str) -> bytes:
    meta = element(0x0002, 0x0001, "OB", b"\0\1")
    meta += element(0x0002, 0x0002, "UI", b"1.2.840.10008.5.1.4.1.1.7")
    meta += element(0x0002, 0x0003, "UI", b"1.2.3")
    meta += element(0x0002, 0x0010, "UI", syntax.encode())
    meta += element(0x0002, 0x0012, "UI", b"1.2.3")
    length = element(0x0002, 0x0000, "UL", struct.pack("<I", len(meta)))
    return b"\0" * 128 + b"DICM" + length + meta


def dicom(
    pixels: np.ndarray,
    *,
    photometric: str = "MONOCHROME2",
    syntax: str = EXPLICIT_LE,
    bits_stored: int | None = None,
    high_bit: int | None = None,
    bits_allocated: int | None = None,
    planar: int = 0,
    frames: int | None = None,
    rescale: tuple[float, float] | None = None,
    window: tuple[float | str, float | str] | None = None,
    function: str | None = None,
    fragments: Sequence[bytes] | None = None,
    table: Sequence[int] = (),
    pixel_bytes: bytes | None = None,
    more: Elements | None = None,
    sequences: bytes = b"",
) -> bytes:
    """pixels: ([F,] H, W[, 3]); fragments or pixel_bytes replace them when given.

    more: further elements by (group, number), or others in place of those made here; values in
    little endian. sequences: elements between group 0028 and the pixels, ready made.
    """
    samples = 3 if photometric in ("RGB", "YBR_FULL", "YBR_FULL_422") else 1
    height, width = pixels.shape[-3:-1] if samples == 3 else pixels.shape[-2:]
    bits = bits_allocated or pixels.dtype.itemsize * 8
    stored = bits_stored or bits

    def short(value: int) -> tuple[str, bytes]:
        return "US", struct.pack("<H", value)

    elements: dict[tuple[int, int], tuple[str, bytes]] = {
        (0x0028, 0x0002): short(samples),
        (0x0028, 0x0004): ("CS", photometric.encode()),
        (0x0028, 0x0010): short(height),
        (0x0028, 0x0011): short(width),
        (0x0028, 0x0100): short(bits),
        (0x0028, 0x0101): short(stored),
        (0x0028, 0x0102): short(stored - 1 if high_bit is None else high_bit),
        (0x0028, 0x0103): short(int(pixels.dtype.kind == "i")),
    }
    if samples == 3:
        elements[0x0028, 0x0006] = short(planar)
    if frames is not None:
        elements[0x0028, 0x0008] = ("IS", str(frames).encode())
    if window is not None:
        elements[0x0028, 0x1050] = ("DS", f"{window[0]}".encode())
        elements[0x0028, 0x1051] = ("DS", f"{window[1]}".encode())
    if rescale is not None:
        elements[0x0028, 0x1052] = ("DS", f"{rescale[1]}".encode())
        elements[0x0028, 0x1053] = ("DS", f"{rescale[0]}".encode())
    if function is not None:
        elements[0x0028, 0x1056] = ("LO", function.encode())
    elements.update(more or {})
    written = EXPLICIT_LE if syntax not in (IMPLICIT_LE, EXPLICIT_BE) else syntax

    def ordered(vr: str, value: bytes) -> bytes:
        if syntax == EXPLICIT_BE and vr in ("US", "SS", "OW"):
            return np.frombuffer(value, "<u2").astype(">u2").tobytes()
        return value

    body = b"".join(
        element(*tag, vr, ordered(vr, value), syntax=written)
        for tag, (vr, value) in sorted(elements.items())
    )
    body += sequences
    if fragments is not None:
        body += encapsulated(fragments, table)
    else:
        order = ">" if syntax == EXPLICIT_BE else "<"
        if pixel_bytes is None:
            if planar:
                pixels = np.moveaxis(pixels, -1, -3)
            pixel_bytes = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
        vr = "OB" if bits <= 8 and written != IMPLICIT_LE else "OW"
        body += element(0x7FE0, 0x0010, vr, pixel_bytes, syntax=written)
    if syntax == DEFLATED:
        packer = zlib.compressobj(wbits=-15)
        body = packer.compress(body) + packer.flush()
    return meta_group(syntax) + body


def palette(colors: np.ndarray, *, first: int = 0, bits: int = 16) -> Elements:
    """colors: (N, 3), the entries of the three tables; 8-bit entries go two a word."""
    elements: dict[tuple[int, int], tuple[str, bytes]] = {}
    kind = "<u2" if bits == 16 else "u1"
    for channel in range(3):
        descriptor = struct.pack("<HHH", len(colors) % 65536, first, bits)
        elements[0x0028, 0x1101 + channel] = ("US", descriptor)
        data = colors[:, channel].astype(kind).tobytes()
        elements[0x0028, 0x1201 + channel] = ("OW", data + b"\0" * (len(data) % 2))
    return elements


def rle(samples: np.ndarray) -> bytes:
    """One frame, (H, W) or (H, W, 3): literal runs only, byte planes from the most significant."""
    planes = samples.reshape(-1, 1) if samples.ndim == 2 else samples.reshape(-1, 3)
    big = planes.astype(planes.dtype.newbyteorder(">"))
    segments = []
    for channel in range(big.shape[1]):
        column = np.frombuffer(big[:, channel].tobytes(), "u1").reshape(-1, samples.itemsize)
        for byte in range(samples.itemsize):
            plane = column[:, byte].tobytes()
            runs = (plane[i : i + 128] for i in range(0, len(plane), 128))
            packed = b"".join(bytes([len(run) - 1]) + run for run in runs)
            segments.append(packed + b"\0" * (len(packed) % 2))
    offsets = [64 + sum(map(len, segments[:i])) for i in range(len(segments))]
    header = struct.pack("<16I", len(segments), *offsets, *[0] * (15 - len(offsets)))
    return header + b"".join(segments)


def deflated_frame(samples: np.ndarray) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(samples.tobytes()) + packer.flush()


class _Bits:
    """Bits of a JPEG scan, FF stuffed."""

    def __init__(self) -> None:
        self.text: list[str] = []

    def put(self, value: int, count: int) -> None:
        if count:
            self.text.append(f"{value:0{count}b}")

    def difference(self, value: int) -> None:
        """Category as a code of five bits, then the value (T.81 F.1.2.1)."""
        size = abs(value).bit_length()
        self.put(size, 5)
        if size < 16:
            self.put(value if value >= 0 else value + (1 << size) - 1, size)

    def stuffed(self) -> bytes:
        text = "".join(self.text)
        text += "1" * (-len(text) % 8)
        packed = int(text, 2).to_bytes(len(text) // 8, "big")
        return packed.replace(b"\xff", b"\xff\x00")


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def _frame(marker: int, precision: int, shape: Sequence[int]) -> bytes:
    components = b"".join(bytes([i + 1, 0x11, 0]) for i in range(shape[2]))
    head = struct.pack(">BHHB", precision, shape[0], shape[1], shape[2])
    return _segment(marker, head + components)


def _scan(count: int, *, first: int, last: int, low: int) -> bytes:
    components = b"".join(bytes([i + 1, 0]) for i in range(count))
    return _segment(0xDA, bytes([count]) + components + bytes([first, last, low]))


def lossless_jpeg(
    image: np.ndarray, *, precision: int, predictor: int = 1, point_transform: int = 0
) -> bytes:
    """(H, W) or (H, W, 3) as lossless JPEG (T.81 annex H); every code has five bits."""
    samples = (image[..., None] if image.ndim == 2 else image).astype(np.int64) >> point_transform
    a = np.roll(samples, 1, axis=1)
    b = np.roll(samples, 1, axis=0)
    c = np.roll(a, 1, axis=0)
    table = (a, b, c, a + b - c, a + ((b - c) >> 1), b + ((a - c) >> 1), (a + b) >> 1)
    predicted = table[predictor - 1].copy()
    predicted[0] = a[0]
    predicted[:, 0] = b[:, 0]
    predicted[0, 0] = 1 << (precision - point_transform - 1)
    differences = (samples - predicted + 32768) % 65536 - 32768
    bits = _Bits()
    for value in differences.reshape(-1).tolist():
        bits.difference(32768 if value == -32768 else value)
    codes = bytes([0]) + bytes([0, 0, 0, 0, 17, *[0] * 11]) + bytes(range(17))
    return (
        b"\xff\xd8"
        + _segment(0xC4, codes)
        + _frame(0xC3, precision, samples.shape)
        + _scan(samples.shape[2], first=predictor, last=0, low=point_transform)
        + bits.stuffed()
        + b"\xff\xd9"
    )


def flat_block_jpeg(levels: np.ndarray, *, precision: int) -> bytes:
    """Extended sequential JPEG whose 8 x 8 blocks are flat: levels (H/8, W/8) come back exactly."""
    height, width = levels.shape
    bits = _Bits()
    previous = 0
    # A DC coefficient is 8 times the mean; quantised by 8 it is the level itself.
    for level in (levels.astype(np.int64) - (1 << (precision - 1))).reshape(-1).tolist():
        bits.difference(level - previous)
        bits.put(0, 1)  # end of block
        previous = level
    quantizers = bytes([0]) + bytes([8] * 64)
    dc = bytes([0]) + bytes([0, 0, 0, 0, 16, *[0] * 11]) + bytes(range(16))
    ac = bytes([0x10]) + bytes([1, *[0] * 15]) + bytes([0])
    return (
        b"\xff\xd8"
        + _segment(0xDB, quantizers)
        + _frame(0xC1, precision, (height * 8, width * 8, 1))
        + _segment(0xC4, dc)
        + _segment(0xC4, ac)
        + _scan(1, first=0, last=63, low=0)
        + bits.stuffed()
        + b"\xff\xd9"
    )
