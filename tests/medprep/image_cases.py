"""The kinds of TIFF, PNG, WebP, GIF and BMP that are decoded or refused, for docs/formats.md."""

from __future__ import annotations

import io
from collections.abc import Iterator

import cv2
import numpy as np
from format_cases import Case
from PIL import Image

import medprep
from medprep import _core
from tiff_files import (
    BLACK_IS_ZERO,
    CMYK,
    DEFLATE,
    LZW,
    PACKBITS,
    PALETTE,
    PLAIN,
    RGB,
    WHITE_IS_ZERO,
    tiff_file,
)

RNG = np.random.default_rng(20261121)
COLOR = RNG.integers(0, 256, (37, 50, 3), np.uint8)
GREY = RNG.integers(0, 256, (37, 50), np.uint8)
ALPHA = RNG.integers(0, 256, (37, 50, 1), np.uint8)
DEEP_GREY = RNG.integers(0, 65536, (37, 50)).astype(np.uint16)
DEEP_COLOR = RNG.integers(0, 65536, (37, 50, 3)).astype(np.uint16)
TABLE = RNG.integers(0, 65536, (256, 3))


def in_rgb(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[:, :, None], 3, axis=2)


def encoded(pixels: np.ndarray, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


def tiff_cases() -> Iterator[Case]:
    """Kinds of pixels in plain strips, then ways of packing them."""
    straight = ((COLOR.astype(int) * ALPHA + 127) // 255).astype(np.uint8)
    ink = RNG.integers(0, 256, (37, 50, 4), np.uint8)
    light = 255 - ink.astype(int)
    printed = (light[:, :, 3:] * light[:, :, :3] // 255).astype(np.uint8)
    with_alpha = np.concatenate([COLOR, ALPHA], axis=2)
    bits = GREY & 1
    looked_up = (TABLE >> 8)[GREY].astype(np.uint8)
    kinds = [
        ("grey, black is 0", "1", bits[:, :, None], BLACK_IS_ZERO, {"bits": 1}, in_rgb(bits * 255)),
        ("grey, black is 0", "8", GREY[:, :, None], BLACK_IS_ZERO, {}, in_rgb(GREY)),
        ("grey, white is 0", "8", GREY[:, :, None], WHITE_IS_ZERO, {}, in_rgb(255 - GREY)),
        ("palette", "8", GREY[:, :, None], PALETTE, {"palette": TABLE}, looked_up),
        ("RGB", "8", COLOR, RGB, {}, COLOR),
        ("RGB with multiplied alpha", "8", with_alpha, RGB, {"extra": 1}, COLOR),
        ("RGB with straight alpha", "8", with_alpha, RGB, {"extra": 2}, straight),
        ("CMYK", "8", ink, CMYK, {}, printed),
    ]  # fmt: skip
    results = {"RGB with straight alpha": "multiplied with alpha", "CMYK": "RGB, without a profile"}
    for photometric, depth, samples, code, options, expected in kinds:
        data = tiff_file(samples, photometric=code, **options)
        result = results.get(photometric, "equal")
        yield Case("TIFF", "strips", photometric, depth, data, medprep.decode, expected, result)
    for name, samples, code in (
        ("grey, black is 0", DEEP_GREY[:, :, None], BLACK_IS_ZERO),
        ("RGB", DEEP_COLOR, RGB),
    ):
        data = tiff_file(samples, photometric=code, bits=16)
        wide = in_rgb(samples[:, :, 0]) if samples.shape[2] == 1 else samples
        narrow = wide >> 8 if samples.shape[2] == 1 else (wide.astype(int) + 128) // 257
        narrow, rule = narrow.astype(np.uint8), "high byte" if samples.shape[2] == 1 else "rounded"
        yield Case("TIFF", "strips", name, "16", data, medprep.decode, narrow, f"8 bits: {rule}")
        yield Case("TIFF", "strips", name, "16", data, _core.decode_wide, wide, "uint16: equal")
    ways = {
        "strips, PackBits": {"compression": PACKBITS, "rows_per_strip": 7},
        "strips, LZW, differences": {"compression": LZW, "predictor": True},
        "strips, deflate, differences": {
            "compression": DEFLATE,
            "predictor": True,
        },
        "tiles": {"compression": PLAIN, "tile": (16, 32)},
        "tiles, deflate": {"compression": DEFLATE, "tile": (16, 32)},
        "a plane for each colour": {"planar": True, "rows_per_strip": 9},
        "BigTIFF, big-endian": {"big": True, "big_endian": True},
    }
    for way, options in ways.items():
        data = tiff_file(COLOR, photometric=RGB, **options)
        yield Case("TIFF", way, "RGB", "8", data, medprep.decode, COLOR, "equal")
        data = tiff_file(DEEP_COLOR, photometric=RGB, bits=16, **options)
        yield Case("TIFF", way, "RGB", "16", data, _core.decode_wide, DEEP_COLOR, "uint16: equal")
    data = tiff_file(DEEP_GREY[:, :, None], bits=16, tile=(16, 16))
    narrow = in_rgb((DEEP_GREY >> 8).astype(np.uint8))
    black = "grey, black is 0"
    yield Case("TIFF", "tiles", black, "16", data, medprep.decode, narrow, "8 bits: high byte")
    smooth = cv2.resize(COLOR[:6, :6], (50, 37), interpolation=cv2.INTER_CUBIC)
    for name, pixels in (("YBR", smooth), ("grey", smooth[:, :, 0])):
        data = encoded(pixels, "TIFF", compression="jpeg", quality=90)
        expected = by_opencv(data)
        result = "libjpeg-turbo's pixels"
        yield Case("TIFF", "JPEG", name, "8", data, medprep.decode, expected, result)
    two = tiff_file(COLOR, photometric=RGB, pages=2)
    yield Case("TIFF", "several pages", "RGB", "8", two, medprep.decode, COLOR, "the first page")


def by_opencv(data: bytes) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return np.ascontiguousarray(image[:, :, ::-1])


def other_cases() -> Iterator[Case]:
    deep = encoded(DEEP_GREY, "PNG")
    high = in_rgb((DEEP_GREY >> 8).astype(np.uint8))
    yield Case("PNG", "", "grey", "16", deep, medprep.decode, high, "8 bits: high byte")
    wide = in_rgb(DEEP_GREY)
    yield Case("PNG", "", "grey", "16", deep, _core.decode_wide, wide, "uint16: equal")
    for name, pixels in (("RGB", COLOR), ("RGB with alpha", np.dstack([COLOR, ALPHA]))):
        data = encoded(pixels, "WEBP", lossless=True, exact=True)
        result = "equal" if name == "RGB" else "equal, alpha dropped"
        yield Case("WebP", "lossless", name, "8", data, medprep.decode, COLOR, result)
        data = encoded(pixels, "WEBP", quality=80)
        expected = by_opencv(data)
        yield Case("WebP", "lossy", name, "8", data, medprep.decode, expected, "libwebp's pixels")
    indexed = Image.fromarray(GREY, "L").convert("P")
    indexed.putpalette((TABLE >> 8).astype(np.uint8).tobytes())
    expected = (TABLE >> 8)[GREY].astype(np.uint8)
    for way, options in (
        ("one frame", {}),
        ("interlaced", {"interlace": 1}),
        ("animation", {"save_all": True, "append_images": [indexed.rotate(180)]}),
    ):
        stream = io.BytesIO()
        indexed.save(stream, "GIF", **options)
        result = "the first frame" if way == "animation" else "equal"
        data = stream.getvalue()
        yield Case("GIF", way, "palette", "8", data, medprep.decode, expected, result)
    yield Case("BMP", "plain", "RGB", "24", encoded(COLOR, "BMP"), medprep.decode, COLOR, "equal")
    stream = io.BytesIO()
    indexed.save(stream, "BMP")
    yield Case("BMP", "plain", "palette", "8", stream.getvalue(), medprep.decode, expected, "equal")


def refused_cases() -> Iterator[Case]:
    plain = GREY[:, :, None]
    float32, signed = (339, 3, b"\x03\0"), (339, 3, b"\x02\0")
    # What the packed bytes hold is no matter: the directory is refused.
    for way, photometric, bits, options, reason in (
        (
            "CCITT group 4",
            "bilevel",
            "1",
            {"compression": 4, "pack": bytes},
            "CCITT group 4 fax (4)",
        ),
        ("old-style JPEG", "grey", "8", {"compression": 6, "pack": bytes}, "old-style JPEG (6)"),
        ("Zstandard", "grey", "8", {"compression": 50000, "pack": bytes}, "Zstandard (50000)"),
    ):
        data = tiff_file(plain, **options)
        message = f"not supported: TIFF compression {reason}"
        yield Case("TIFF", way, photometric, bits, data, medprep.decode, message, "refused by name")
    for name, tag in (("floating point", float32), ("signed", signed)):
        data = tiff_file(plain, tags=(tag,))
        start = "not supported: TIFF of"
        yield Case("TIFF", "any", name, "any", data, medprep.decode, start, "refused by name")
    data = tiff_file(COLOR, photometric=8)
    start = "not supported: TIFF photometric interpretation CIE Lab (8)"
    yield Case("TIFF", "any", "CIE Lab", "8", data, medprep.decode, start, "refused by name")
    data = b"\0\0\0\x0cjP  \r\n\x87\n"
    start = "cannot decode image: not a JPEG, PNG, TIFF, WebP, GIF, BMP or DICOM: found a JPEG 2000"
    yield Case("JPEG 2000", "", "any", "any", data, medprep.decode, start, "refused by name")


def cases() -> list[Case]:
    return [*tiff_cases(), *other_cases(), *refused_cases()]
