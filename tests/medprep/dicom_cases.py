"""Kinds of DICOM files, what they must decode to, and the rows of docs/formats.md they make."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO

import dicom_files as files
import numpy as np
from dicom_files import dicom
from format_cases import Case
from PIL import Image

import medprep

SYNTAXES = {
    files.IMPLICIT_LE: "implicit little endian",
    files.EXPLICIT_LE: "explicit little endian",
    files.EXPLICIT_BE: "explicit big endian",
    files.DEFLATED: "deflated",
    files.ENCAPSULATED: "encapsulated uncompressed",
    files.DEFLATED_FRAME: "deflated image frame",
    files.RLE: "RLE Lossless",
    files.JPEG_BASELINE: "JPEG Baseline",
    files.JPEG_EXTENDED: "JPEG Extended",
    files.JPEG_LOSSLESS: "JPEG Lossless (process 14)",
    files.JPEG_LOSSLESS_SV1: "JPEG Lossless SV1",
}

REFUSED = {
    "1.2.840.10008.1.2.4.80": "JPEG-LS Lossless",
    "1.2.840.10008.1.2.4.81": "JPEG-LS Near-lossless",
    "1.2.840.10008.1.2.4.90": "JPEG 2000 Lossless",
    "1.2.840.10008.1.2.4.91": "JPEG 2000",
    "1.2.840.10008.1.2.4.110": "JPEG XL Lossless",
    "1.2.840.10008.1.2.4.112": "JPEG XL",
    "1.2.840.10008.1.2.4.201": "HTJ2K Lossless",
    "1.2.840.10008.1.2.4.203": "HTJ2K",
    "1.2.840.10008.1.2.4.100": "MPEG2 Main Profile",
    "1.2.840.10008.1.2.4.102": "MPEG-4 High Profile",
    "1.2.840.10008.1.2.4.107": "HEVC Main Profile",
}

HEIGHT, WIDTH = 12, 16
EQUAL = "equal"


def noise(dtype: str, *, bits: int | None = None, channels: int = 0) -> np.ndarray:
    rng = np.random.default_rng(bits or 1)
    info = np.iinfo(dtype)
    low, high = int(info.min), int(info.max)
    if bits is not None:
        low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if low else (0, (1 << bits) - 1)
    shape = (HEIGHT, WIDTH, channels) if channels else (HEIGHT, WIDTH)
    return rng.integers(low, high, shape, dtype=dtype, endpoint=True)


def ybr_to_rgb(ybr: np.ndarray) -> np.ndarray:
    y, cb, cr = (ybr[..., i].astype(float) for i in range(3))
    cb, cr = cb - 128, cr - 128
    green = y - (0.114 * 1.772 * cb + 0.299 * 1.402 * cr) / 0.587
    rgb = np.stack([y + 1.402 * cr, green, y + 1.772 * cb], axis=-1)
    return np.clip(np.floor(rgb + 0.5), 0, 255).astype(np.uint8)


def stored(data: bytes) -> np.ndarray:
    return medprep.decode_dicom(data, window=None)


def shown(data: bytes) -> np.ndarray:
    return medprep.decode_dicom(data)


def case(
    syntax: str, photometric: str, bits: str, data: bytes, expected: np.ndarray, **how: object
) -> Case:
    decode = shown if how.get("shown") else stored
    return Case("DICOM", SYNTAXES[syntax], photometric, bits, data, decode, expected, EQUAL)


def packed(syntax: str, pixels: np.ndarray) -> dict[str, object]:
    """How `pixels` are stored in this syntax: arguments of `dicom`."""
    little = pixels.astype(pixels.dtype.newbyteorder("<"))
    if syntax == files.RLE:
        return {"fragments": [files.rle(pixels)]}
    if syntax == files.DEFLATED_FRAME:
        return {"fragments": [files.deflated_frame(little)]}
    if syntax == files.ENCAPSULATED:
        return {"fragments": [little.tobytes()]}
    return {}


def lossless_storage() -> Iterator[Case]:
    """Everything that packs samples without changing them."""
    for syntax in (*(s for s in SYNTAXES if "JPEG" not in SYNTAXES[s]),):

        def make(
            pixels: np.ndarray, photometric: str, bits: str, *, syntax: str = syntax, **how: object
        ) -> Case:
            data = dicom(
                pixels, photometric=photometric, syntax=syntax, **packed(syntax, pixels), **how
            )
            expected = ybr_to_rgb(pixels) if photometric == "YBR_FULL" else pixels
            return case(syntax, photometric, bits, data, expected)

        if syntax != files.RLE:
            bit_image = noise("uint8", bits=1)
            bit_bytes = np.packbits(bit_image, bitorder="little").tobytes()
            how = packed(syntax, np.frombuffer(bit_bytes, np.uint8)[None])
            data = dicom(bit_image, syntax=syntax, bits_allocated=1, pixel_bytes=bit_bytes, **how)
            yield case(syntax, "MONOCHROME2", "1", data, bit_image)
        yield make(noise("uint8"), "MONOCHROME2", "8")
        yield make(noise("int8"), "MONOCHROME2", "8 signed")
        yield make(noise("uint16", bits=12), "MONOCHROME2", "12 of 16", bits_stored=12)
        yield make(noise("int16", bits=12), "MONOCHROME2", "12 of 16 signed", bits_stored=12)
        yield make(noise("uint16"), "MONOCHROME2", "16")
        yield make(noise("int16"), "MONOCHROME2", "16 signed")
        yield make(noise("uint32"), "MONOCHROME2", "32")
        yield make(noise("uint16", bits=10), "MONOCHROME1", "10 of 16", bits_stored=10)
        yield make(noise("uint8", channels=3), "RGB", "8")
        yield make(noise("uint16", channels=3), "RGB", "16")
        yield make(noise("uint32", channels=3), "RGB", "32")
        yield make(noise("uint8", channels=3), "YBR_FULL", "8")
        if syntax != files.RLE:
            full, data = half_chrominance(syntax)
            yield case(syntax, "YBR_FULL_422", "8", data, ybr_to_rgb(full))
        yield from palettes(syntax)


def half_chrominance(syntax: str) -> tuple[np.ndarray, bytes]:
    full = noise("uint8", channels=3)
    full[:, 1::2, 1:] = full[:, ::2, 1:]
    pairs = np.empty((HEIGHT, WIDTH // 2, 4), np.uint8)
    pairs[..., 0], pairs[..., 1] = full[:, ::2, 0], full[:, 1::2, 0]
    pairs[..., 2:] = full[:, ::2, 1:]
    how = packed(syntax, pairs)
    data = dicom(
        full, photometric="YBR_FULL_422", syntax=syntax, pixel_bytes=pairs.tobytes(), **how
    )
    return full, data


def palettes(syntax: str) -> Iterator[Case]:
    if syntax == files.EXPLICIT_BE:
        return  # retired with the syntax; tables of words in either order occur
    rng = np.random.default_rng(5)
    for dtype, bits, count in (("uint8", "8", 256), ("uint16", "16", 4096)):
        indices = rng.integers(0, count, (HEIGHT, WIDTH), dtype=dtype)
        colors = rng.integers(0, 65536, (count, 3), dtype=np.uint16)
        data = dicom(
            indices,
            photometric="PALETTE COLOR",
            syntax=syntax,
            more=files.palette(colors),
            **packed(syntax, indices),
        )
        expected = (colors[indices] >> 8).astype(np.uint8)
        yield case(syntax, "PALETTE COLOR", bits, data, expected, shown=True)


def jpeg_stream(pixels: np.ndarray, **options: object) -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95, **options)
    return buffer.getvalue()


def smooth(channels: int = 0) -> np.ndarray:
    grey = (np.add.outer(np.arange(HEIGHT), np.arange(WIDTH)) * 8).astype(np.uint8)
    return np.stack([grey, 255 - grey, grey // 2], axis=-1) if channels else grey


def jpegs() -> Iterator[Case]:
    grey, color = smooth(), smooth(3)
    stream = jpeg_stream(grey)
    for photometric in ("MONOCHROME2", "MONOCHROME1"):
        data = dicom(grey, photometric=photometric, syntax=files.JPEG_BASELINE, fragments=[stream])
        pixels = np.asarray(Image.open(BytesIO(stream)))
        yield case(files.JPEG_BASELINE, photometric, "8", data, pixels)
    for photometric, options in (
        ("YBR_FULL_422", {"subsampling": 1}),
        ("YBR_FULL", {"subsampling": 0}),
        ("RGB", {"subsampling": 0, "keep_rgb": True}),
    ):
        stream = jpeg_stream(color, **options)
        data = dicom(color, photometric=photometric, syntax=files.JPEG_BASELINE, fragments=[stream])
        pixels = np.asarray(Image.open(BytesIO(stream)).convert("RGB"))
        yield case(files.JPEG_BASELINE, photometric, "8", data, pixels)
    for bits, dtype in ((8, "uint8"), (12, "uint16")):
        levels = np.random.default_rng(bits).integers(0, 1 << bits, (3, 4), dtype=dtype)
        pixels = np.kron(levels, np.ones((8, 8), dtype))
        stream = files.flat_block_jpeg(levels, precision=bits)
        data = dicom(pixels, syntax=files.JPEG_EXTENDED, bits_stored=bits, fragments=[stream])
        yield case(
            files.JPEG_EXTENDED, "MONOCHROME2", "8" if bits == 8 else "12 of 16", data, pixels
        )


def lossless_jpegs() -> Iterator[Case]:
    kinds = (
        ("uint8", 8, "MONOCHROME2", "8"),
        ("uint16", 10, "MONOCHROME1", "10 of 16"),
        ("uint16", 12, "MONOCHROME2", "12 of 16"),
        ("int16", 12, "MONOCHROME2", "12 of 16 signed"),
        ("uint16", 16, "MONOCHROME2", "16"),
        ("int16", 16, "MONOCHROME2", "16 signed"),
        ("uint8", 8, "RGB", "8"),
        ("uint16", 16, "RGB", "16"),
        ("uint8", 8, "YBR_FULL", "8"),
    )
    for syntax, predictor in ((files.JPEG_LOSSLESS, 6), (files.JPEG_LOSSLESS_SV1, 1)):
        for dtype, bits, photometric, name in kinds:
            channels = 3 if photometric in ("RGB", "YBR_FULL") else 0
            pixels = noise(dtype, bits=bits, channels=channels)
            samples = pixels.astype(np.int64) & ((1 << bits) - 1)
            stream = files.lossless_jpeg(samples, precision=bits, predictor=predictor)
            data = dicom(
                pixels, photometric=photometric, syntax=syntax, bits_stored=bits, fragments=[stream]
            )
            expected = ybr_to_rgb(pixels) if photometric == "YBR_FULL" else pixels
            yield case(syntax, photometric, name, data, expected)


def refusals() -> Iterator[Case]:
    for uid, name in REFUSED.items():
        data = dicom(noise("uint8"), syntax=uid, fragments=[b"\0\0"])
        reason = f"not supported: DICOM transfer syntax {name} ({uid})"
        yield Case("DICOM", name, "any", "any", data, stored, reason, "refused by name")
    grey = noise("uint16")
    wide = dicom(grey, bits_allocated=64, pixel_bytes=bytes(8 * grey.size))
    floats = dicom(grey, bits_allocated=32, pixel_bytes=b"").replace(
        b"\xe0\x7f\x10\x00OW", b"\xe0\x7f\x08\x00OF"
    )
    hsv = dicom(grey, photometric="HSV")
    for photometric, bits, data, reason in (
        ("MONOCHROME2", "64", wide, "not supported: DICOM pixels of 64 allocated bits"),
        ("MONOCHROME2", "float", floats, "not supported: DICOM floating-point pixel data"),
        ("HSV", "any", hsv, "not supported: DICOM photometric interpretation HSV"),
    ):
        yield Case("DICOM", "any", photometric, bits, data, stored, reason, "refused by name")
    one_bit = dicom(noise("uint8"), syntax=files.RLE, bits_allocated=1, fragments=[b"\0\0"])
    yield Case(
        "DICOM", SYNTAXES[files.RLE], "MONOCHROME2", "1", one_bit, stored,
        "not supported: DICOM RLE of 1-bit pixels", "refused by name",
    )  # fmt: skip


def cases() -> list[Case]:
    return [*lossless_storage(), *jpegs(), *lossless_jpegs(), *refusals()]
