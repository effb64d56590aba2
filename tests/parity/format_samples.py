"""Seeded files of the formats beside JPEG and PNG: TIFF, BMP, GIF and WebP, with their variants."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable

import numpy as np
from PIL import Image

from tiff_files import (
    BLACK_IS_ZERO,
    CMYK,
    DEFLATE,
    LZW,
    PACKERS,
    PALETTE,
    PLAIN,
    RGB,
    WHITE_IS_ZERO,
    tiff_file,
)

Rng = np.random.Generator

# -- TIFF ----------------------------------------------------------------------------------------


def random_tiff(rng: Rng, *, wide: bool = False) -> tuple[str, bytes]:
    """Any combination that OpenCV reads; wide: 16 bits only."""
    kinds = ["grey", "rgb"] if wide else ["grey", "grey", "rgb", "rgba", "palette", "cmyk"]
    kind = str(rng.choice(kinds))
    bits = 16 if wide else 8
    if not wide and kind in ("grey", "rgb", "rgba"):
        bits = int(rng.choice([8, 8, 16]))
    if not wide and kind in ("grey", "palette") and rng.integers(0, 4) == 0:
        bits = 1 if kind == "grey" else 4
    count = {"grey": 1, "rgb": 3, "rgba": 4, "palette": 1, "cmyk": 4}[kind]
    height, width = (int(v) for v in rng.integers(1, 70, 2))
    compression = int(rng.choice(list(PACKERS)))
    options: dict[str, object] = {"bits": bits, "compression": compression}
    options["predictor"] = bool(compression in (LZW, DEFLATE) and bits >= 8 and rng.integers(0, 2))
    options["big_endian"] = bool(rng.integers(0, 2))
    options["big"] = rng.integers(0, 4) == 0
    if rng.integers(0, 3) == 0:
        options["tile"] = _tile(rng, compression)
    else:
        options["rows_per_strip"] = int(rng.integers(1, height + 1))
    if bits == 16 and kind == "grey" and "tile" in options:
        # libtiff reads tiles that stand out on the right askew when it reduces them to 8 bits.
        width = options["tile"][1]  # type: ignore[index]
    values = rng.integers(0, 1 << bits, (height, width, count))
    if rng.integers(0, 2):  # smooth: exercises runs and repeated strings
        values = np.sort(values, axis=1) // 3 * 3
    # OpenCV takes planes for interleaved samples when it keeps 16 bits.
    options["planar"] = bool(kind in ("rgb", "rgba") and not wide and rng.integers(0, 4) == 0)
    if kind == "rgba":
        options["extra"] = int(rng.integers(0, 3))
    if kind == "palette":
        options["palette"] = rng.integers(0, 65536, (1 << bits, 3))
    photometric = {"rgb": RGB, "rgba": RGB, "palette": PALETTE, "cmyk": CMYK}.get(kind)
    if photometric is None:
        photometric = BLACK_IS_ZERO if wide or rng.integers(0, 4) else WHITE_IS_ZERO
    name = f"TIFF {kind} {height}x{width} photometric {photometric} {options}"
    return name[:300], tiff_file(values, photometric=photometric, **options)  # type: ignore[arg-type]


def _tile(rng: Rng, compression: int) -> tuple[int, int]:
    # libtiff 4.7.1 refuses uncompressed tiles that are no multiple of 1024 bytes.
    if compression == PLAIN:
        return 64, 128
    height, width = (int(v) for v in rng.choice([16, 32, 48], 2))
    return height, width


def jpeg_tiff(rng: Rng) -> tuple[str, bytes]:
    """JPEG inside TIFF as libtiff writes it, tables in the directory."""
    height, width = (int(v) for v in rng.integers(20, 90, 2))
    mode = str(rng.choice(["L", "RGB"]))
    small = rng.integers(0, 256, (height // 6 + 1, width // 6 + 1, len(mode)), np.uint8)
    image = Image.fromarray(small.squeeze(-1) if mode == "L" else small).resize((width, height))
    stream = io.BytesIO()
    image.save(stream, "TIFF", compression="jpeg", quality=int(rng.integers(40, 96)))
    return f"TIFF JPEG {mode} {height}x{width}", stream.getvalue()


# -- BMP -----------------------------------------------------------------------------------------


def random_bmp(rng: Rng) -> tuple[str, bytes]:
    """1, 4, 8, 16, 24 or 32 bits, upwards or downwards, RLE8, Windows or OS/2."""
    bits = int(rng.choice([1, 4, 8, 16, 24, 32]))
    height, width = (int(v) for v in rng.integers(1, 60, 2))
    os2 = bool(bits in (1, 4, 8, 24) and rng.integers(0, 4) == 0)
    down = bool(not os2 and rng.integers(0, 3) == 0)
    run_length = bool(bits == 8 and not os2 and not down and rng.integers(0, 2))
    fields = bool(bits == 16 and rng.integers(0, 2))
    row = (width * bits + 31) // 32 * 4
    pixels = rng.integers(0, 256, (height, row), np.uint8)
    colors = 1 << bits if bits <= 8 else 0
    bgr = rng.integers(0, 256, (colors, 3 if os2 else 4), np.uint8)
    if rng.integers(0, 2):
        bgr[:, :3] = bgr[:, :1]  # a grey palette
    palette = bgr.tobytes()
    body = pixels.tobytes()
    if run_length:
        body = b"".join(
            _rle8(rng, pixels[y, :width].tobytes()) + (b"\0\0" if y + 1 < height else b"\0\1")
            for y in range(height)
        )
    masks = struct.pack("<III", 0xF800, 0x7E0, 0x1F) if fields else b""
    compression = 1 if run_length else 3 if fields else 0
    if os2:
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        info = struct.pack(
            "<IiiHHIIiiII", 40, width, -height if down else height, 1, bits,
            compression, len(body), 2835, 2835, colors, 0,
        )  # fmt: skip
    offset = 14 + len(info) + len(masks) + len(palette)
    head = b"BM" + struct.pack("<IHHI", offset + len(body), 0, 0, offset)
    kind = f"BMP {bits} {height}x{width} os2={os2} down={down} rle={run_length} fields={fields}"
    return kind, head + info + masks + palette + body


def _rle8(rng: Rng, row: bytes) -> bytes:
    out, at = b"", 0
    while at < len(row):
        count = int(min(rng.integers(1, 9), len(row) - at))
        piece = row[at : at + count]
        if count > 2 and rng.integers(0, 2):
            out += bytes([0, count]) + piece + b"\0" * (count % 2)
        else:
            out += b"".join(bytes([1, value]) for value in piece)
        at += count
    return out


# -- GIF, WebP -----------------------------------------------------------------------------------


def random_gif(rng: Rng) -> tuple[str, bytes]:
    """Palettes of any size, interlaced or not, transparency, one to three frames."""
    height, width = (int(v) for v in rng.integers(1, 60, 2))
    colors = int(rng.choice([2, 4, 16, 200, 256]))
    frames = []
    for _ in range(int(rng.integers(1, 4))):
        frame = Image.fromarray(rng.integers(0, colors, (height, width), np.uint8), "L").convert(
            "P"
        )
        frame.putpalette(rng.integers(0, 256, 3 * colors, np.uint8).tobytes())
        frames.append(frame)
    options: dict[str, object] = {"interlace": int(rng.integers(0, 2))}
    if rng.integers(0, 3) == 0:
        options["transparency"] = int(rng.integers(0, colors))
    stream = io.BytesIO()
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:], **options)
    return (
        f"GIF {height}x{width} {colors} colours {len(frames)} frames {options}",
        stream.getvalue(),
    )


def random_webp(rng: Rng, *, lossless: bool) -> tuple[str, bytes]:
    """With and without alpha; smooth or noisy."""
    height, width = (int(v) for v in rng.integers(1, 120, 2))
    mode = str(rng.choice(["RGB", "RGBA"]))
    small = rng.integers(0, 256, (height // 5 + 1, width // 5 + 1, len(mode)), np.uint8)
    image = Image.fromarray(small, mode).resize((width, height), Image.Resampling.BICUBIC)
    stream = io.BytesIO()
    quality = int(rng.integers(20, 101))
    image.save(stream, "WEBP", lossless=lossless, quality=quality, exact=True)
    return f"WebP {mode} {height}x{width} quality {quality}", stream.getvalue()


FORMATS: dict[str, Callable[[Rng], tuple[str, bytes]]] = {
    "TIFF": random_tiff,
    "TIFF with JPEG": jpeg_tiff,
    "BMP": random_bmp,
    "GIF": random_gif,
    "WebP lossless": lambda rng: random_webp(rng, lossless=True),
    "WebP lossy": lambda rng: random_webp(rng, lossless=False),
}
"""One random file of each kind."""
