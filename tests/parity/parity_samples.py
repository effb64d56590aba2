"""Random images and encoded files of every kind the decoder takes, made from a seed."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator

import cv2
import numpy as np
from PIL import Image

Rng = np.random.Generator


def random_image(rng: Rng, height: int, width: int, channels: int, *, top: int = 256) -> np.ndarray:
    """Noise, a flat image, or a noisy gradient (the case closest to photographs)."""
    shape = (height, width) if channels == 1 else (height, width, channels)
    dtype = np.uint8 if top <= 256 else np.uint16
    kind = rng.integers(0, 4)
    if kind == 0:
        return rng.integers(0, top, shape).astype(dtype)
    if kind == 1:
        return np.full(shape, rng.integers(0, top)).astype(dtype)
    ramp = np.add.outer(np.arange(height) * top / height, np.arange(width) * top / width) / 2
    if channels == 3:
        ramp = np.stack([ramp, ramp * 0.5, top - 1 - ramp], -1)
    return np.clip(ramp + rng.normal(0, top / 40, shape), 0, top - 1).astype(dtype)


def random_size(rng: Rng, limit: int = 120) -> tuple[int, int]:
    """Any size up to the limit; one pixel high or wide more often than by chance."""
    height, width = (int(n) for n in rng.integers(1, limit, 2))
    kind = rng.integers(0, 20)
    return (1 if kind == 0 else height), (1 if kind == 1 else width)


# -- EXIF ----------------------------------------------------------------------------------------


def exif_orientation(value: int, *, endian: str = "<", entries_before: bytes = b"") -> bytes:
    """TIFF-structured EXIF data: `entries_before` (12 bytes each), then an orientation."""
    count = len(entries_before) // 12 + 1
    head = (b"II" if endian == "<" else b"MM") + struct.pack(endian + "HIH", 42, 8, count)
    entry = struct.pack(endian + "HHIHH", 0x0112, 3, 1, value, 0)
    return head + entries_before + entry + struct.pack(endian + "I", 0)


def random_exif(rng: Rng) -> bytes:
    """EXIF with known and unknown entries before the orientation, some pointing nowhere."""
    endian = str(rng.choice(["<", ">"]))
    tags = [0x10E, 0x10F, 0x110, 0x11A, 0x11B, 0x128, 0x131, 0x132, 0x13E, 0x13F, 0x211, 0x213]
    tags += [0x214, 0x8298, 0x8769, 0x100, 0x9999]
    before = b""
    for _ in range(rng.integers(0, 4)):
        length, offset = (int(rng.choice([0, 1, 4, 5, 8, 40, 60, 2**31])) for _ in range(2))
        before += struct.pack(endian + "HHII", int(rng.choice(tags)), 2, length, offset)
    data = exif_orientation(int(rng.integers(0, 11)), endian=endian, entries_before=before)
    kind = rng.integers(0, 8)
    if kind == 0:
        return data[: rng.integers(0, len(data))]
    if kind == 1:
        broken = bytearray(data)
        broken[rng.integers(0, len(broken))] = rng.integers(0, 256)
        return bytes(broken)
    return data + bytes(int(rng.integers(0, 80)))


# -- JPEG ----------------------------------------------------------------------------------------


def with_segments(jpeg: bytes, *segments: tuple[int, bytes]) -> bytes:
    """The file with APPn segments put behind SOI."""
    packed = b"".join(
        bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body for marker, body in segments
    )
    return jpeg[:2] + packed + jpeg[2:]


def without_huffman_tables(jpeg: bytes) -> bytes:
    """The file without its DHT segments, as Motion-JPEG frames come."""
    out, at = jpeg[:2], 2
    while jpeg[at + 1] != 0xDA:
        end = at + 2 + struct.unpack(">H", jpeg[at + 2 : at + 4])[0]
        out += jpeg[at:end] if jpeg[at + 1] != 0xC4 else b""
        at = end
    return out + jpeg[at:]


def _pil(image: np.ndarray, mode: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image, mode=None).convert(mode).save(buffer, "JPEG", **options)
    return buffer.getvalue()


SAMPLINGS = {"411": 0x411111, "420": 0x221111, "422": 0x211111, "440": 0x121111, "444": 0x111111}


def random_jpeg(rng: Rng) -> tuple[str, bytes]:
    """A valid JPEG of a random kind and its description."""
    height, width = random_size(rng)
    kind = str(rng.choice(["cv2", "cv2", "cv2", "grey", "cmyk", "ycck", "rgb", "pil", "mjpeg"]))
    image = random_image(rng, height, width, 1 if kind == "grey" else 3)
    quality = int(rng.integers(1, 101))
    progressive = bool(rng.integers(0, 2))
    name = f"{kind} {height}x{width} quality {quality} progressive {int(progressive)}"
    if kind in ("cv2", "grey"):
        sampling, restart = str(rng.choice(list(SAMPLINGS))), int(rng.choice([0, 0, 1, 2, 7]))
        options = [
            cv2.IMWRITE_JPEG_QUALITY,
            quality,
            cv2.IMWRITE_JPEG_PROGRESSIVE,
            int(progressive),
        ]
        options += [cv2.IMWRITE_JPEG_OPTIMIZE, int(rng.integers(0, 2))]
        options += [cv2.IMWRITE_JPEG_RST_INTERVAL, restart]
        options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, SAMPLINGS[sampling]]
        data = cv2.imencode(".jpg", image, options)[1].tobytes()
        name += f" sampling {sampling} restart {restart}"
    elif kind in ("cmyk", "ycck"):
        data = _pil(image, "CMYK", quality=quality, progressive=progressive)
        if kind == "ycck":
            at = data.index(b"Adobe") + 11  # the transform byte: 0 CMYK, 2 YCCK
            data = data[:at] + b"\x02" + data[at + 1 :]
    elif kind == "rgb":
        data = _pil(image, "RGB", quality=quality, progressive=progressive, keep_rgb=True)
    elif kind == "pil":
        subsampling = int(rng.integers(0, 3))
        data = _pil(image, "RGB", quality=quality, subsampling=subsampling, progressive=progressive)
    else:
        data = without_huffman_tables(_pil(image, "RGB", quality=quality))
    return name, data


def random_turned_jpeg(rng: Rng) -> tuple[str, bytes]:
    """A JPEG with one or two EXIF (or other APP1) segments, some broken."""
    name, data = random_jpeg(rng)
    segments = []
    for _ in range(rng.integers(1, 3)):
        prefix = b"Exif\0\0" if rng.integers(0, 8) else b"http://ns.adobe.com/xap/1.0/\0"
        segments.append((0xE1, prefix + random_exif(rng)))
    return f"{name} EXIF {[body.hex() for _, body in segments]}", with_segments(data, *segments)


# -- PNG -----------------------------------------------------------------------------------------


def chunk(name: bytes, body: bytes) -> bytes:
    """One PNG chunk with its CRC."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


_ADAM7 = [
    (0, 0, 8, 8),
    (0, 4, 8, 8),
    (4, 0, 8, 4),
    (0, 2, 4, 4),
    (2, 0, 4, 2),
    (0, 1, 2, 2),
    (1, 0, 2, 1),
]


def _packed_rows(values: np.ndarray, depth: int) -> np.ndarray:
    """Rows as PNG stores them. values: (height, values per row)."""
    if depth == 16:
        return values.astype(">u2").view(np.uint8).reshape(values.shape[0], -1)
    if depth == 8:
        return values.astype(np.uint8)
    bits = (values[..., None] >> np.arange(depth - 1, -1, -1)) & 1
    return np.packbits(bits.reshape(values.shape[0], -1).astype(np.uint8), axis=1)


def _filtered(rng: Rng, rows: np.ndarray, pixel_bytes: int) -> bytes:
    """Each row behind a random filter type."""
    out = b""
    before = np.zeros(rows.shape[1], np.int64)
    for row in rows.astype(np.int64):
        left = np.concatenate([np.zeros(min(pixel_bytes, len(row)), np.int64), row[:-pixel_bytes]])
        corner = np.concatenate(
            [np.zeros(min(pixel_bytes, len(row)), np.int64), before[:-pixel_bytes]]
        )
        p = left + before - corner
        distances = np.stack([abs(p - left), abs(p - before), abs(p - corner)])
        paeth = np.choose(distances.argmin(0), [left, before, corner])
        kind = int(rng.integers(0, 5))
        guess = [0, left, before, (left + before) // 2, paeth][kind]
        out += bytes([kind]) + ((row - guess) % 256).astype(np.uint8).tobytes()
        before = row
    return out


def png_file(
    rng: Rng,
    values: np.ndarray,
    *,
    color: int,
    depth: int,
    interlaced: bool = False,
    before: bytes = b"",
    after: bytes = b"",
) -> bytes:
    """A PNG of (height, width, samples) values; `before` and `after` are chunks around IDAT."""
    height, width, samples = values.shape
    pixel_bytes = max(1, depth * samples // 8)
    passes = _ADAM7 if interlaced else [(0, 0, 1, 1)]
    raw = b""
    for y, x, step_y, step_x in passes:
        part = values[y::step_y, x::step_x]
        if part.size:
            rows = _packed_rows(part.reshape(part.shape[0], -1).astype(np.int64), depth)
            raw += _filtered(rng, rows, pixel_bytes)
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, int(interlaced))
    packed = zlib.compress(raw, int(rng.integers(0, 10)))
    cut = int(rng.integers(0, len(packed) + 1))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before
        + chunk(b"IDAT", packed[:cut]) + chunk(b"IDAT", packed[cut:]) + after + chunk(b"IEND", b"")
    )  # fmt: skip


# colour type: (samples, depths)
PNG_KINDS = {
    0: (1, (1, 2, 4, 8, 16)),
    2: (3, (8, 16)),
    3: (1, (1, 2, 4, 8)),
    4: (2, (8, 16)),
    6: (4, (8, 16)),
}


def random_png(rng: Rng) -> tuple[str, bytes]:
    """A valid PNG of any colour type and depth, with gamma, sRGB, tRNS, sBIT and eXIf by chance."""
    height, width = random_size(rng, 40)
    color = int(rng.choice(list(PNG_KINDS)))
    samples, depths = PNG_KINDS[color]
    depth = int(rng.choice(depths))
    interlaced = bool(rng.integers(0, 2))
    values = rng.integers(0, 2**depth, (height, width, samples))
    if color in (2, 6) and rng.integers(0, 2):
        values[..., 1:3] = np.where(
            rng.integers(0, 2, (height, width, 1)), values[..., :1], values[..., 1:3]
        )
    before, notes = b"", []
    if rng.integers(0, 3) == 0:
        gamma = int(rng.choice([1, 4, 16, 22000, 45455, 94999, 100000, 106000, 220000, 2**31 - 1]))
        before += chunk(b"gAMA", struct.pack(">I", gamma))
        notes.append(f"gamma {gamma}")
    if rng.integers(0, 4) == 0:
        before += chunk(b"sRGB", bytes([int(rng.integers(0, 4))]))
        notes.append("sRGB")
    if rng.integers(0, 4) == 0:
        counts = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}[color]
        top = 8 if color == 3 else depth
        bits = bytes(int(b) for b in rng.integers(1, top + 1, counts))
        before += chunk(b"sBIT", bits)
        notes.append(f"sBIT {bits.hex()}")
    if color == 3:
        entries = 2**depth
        before += chunk(b"PLTE", rng.integers(0, 256, (entries, 3)).astype(np.uint8).tobytes())
    if rng.integers(0, 3) == 0 and color in (0, 2, 3):
        body = {
            0: struct.pack(">H", int(values[0, 0, 0])),
            2: struct.pack(">3H", *(int(v) for v in values[0, 0, :3])) if color == 2 else b"",
            3: bytes(int(b) for b in rng.integers(0, 256, rng.integers(1, 2**depth + 1))),
        }[color]
        before += chunk(b"tRNS", body)
        notes.append("tRNS")
    after = b""
    if rng.integers(0, 3) == 0:
        exif = chunk(b"eXIf", random_exif(rng))
        notes.append(f"eXIf {exif.hex()}")
        before, after = (before + exif, after) if rng.integers(0, 2) else (before, exif)
    data = png_file(
        rng, values, color=color, depth=depth, interlaced=interlaced, before=before, after=after
    )
    return (
        f"PNG colour {color} depth {depth} {height}x{width} interlaced {int(interlaced)} {notes}",
        data,
    )


ENCODERS: dict[str, Callable[[Rng], tuple[str, bytes]]] = {
    "JPEG": random_jpeg,
    "JPEG with EXIF": random_turned_jpeg,
    "PNG": random_png,
}


def encoded_files(rng: Rng, kind: str, count: int) -> Iterator[tuple[str, bytes]]:
    """`count` random files of one kind."""
    for _ in range(count):
        yield ENCODERS[kind](rng)
