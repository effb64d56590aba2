"""Small healthy files of every format, each with what is needed to lie about it."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

EXPLICIT_LE, IMPLICIT_LE = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
BIG_ENDIAN, DEFLATED = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
JPEG_BASELINE, RLE = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.5"
JPEG_LOSSLESS, JPEG_2000 = "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.90"
_LONG_FORM = (b"OB", b"OW", b"SQ", b"UN", b"UT")
UNDEFINED = 0xFFFFFFFF

Element = tuple[int, bytes, bytes]
"""Tag (group << 16 | number), VR and value."""


def picture(rng: np.random.Generator, height: int, width: int, channels: int = 3) -> np.ndarray:
    """A smooth image with some noise, (H, W, C) or (H, W) uint8."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    planes = [
        128 + 90 * np.sin(x / rng.uniform(3, 15) + y / rng.uniform(3, 15) + c)
        for c in range(channels)
    ]
    noisy = np.stack(planes, axis=2) + rng.normal(0, 6, (height, width, channels))
    image = np.clip(noisy, 0, 255).astype(np.uint8)
    return image[:, :, 0] if channels == 1 else image


def pillow_file(image: np.ndarray, kind: str, **options: object) -> bytes:
    """The image as Pillow writes it."""
    stream = io.BytesIO()
    mode = options.pop("mode", None)
    made = Image.fromarray(image)
    (made.convert(str(mode)) if mode else made).save(stream, kind, **options)
    return stream.getvalue()


# -- JPEG ---------------------------------------------------------------------------------------


def jpeg(rng: np.random.Generator) -> bytes:
    """Baseline, with and without subsampling and restart markers; sometimes grey or CMYK."""
    height, width = (int(v) for v in rng.integers(1, 80, 2))
    kind = int(rng.integers(8))
    if kind == 0:
        return pillow_file(picture(rng, height, width, 1), "JPEG", quality=80)
    if kind == 1:
        return pillow_file(picture(rng, height, width), "JPEG", mode="CMYK")
    options: dict[str, object] = {"quality": int(rng.integers(20, 96))}
    options["subsampling"] = int(rng.integers(3))
    if kind > 5:
        options["restart_marker_rows"] = 1
    return pillow_file(picture(rng, height, width), "JPEG", **options)


def progressive(rng: np.random.Generator) -> bytes:
    """Progressive JPEG."""
    height, width = (int(v) for v in rng.integers(1, 80, 2))
    channels = 1 if rng.integers(4) == 0 else 3
    return pillow_file(picture(rng, height, width, channels), "JPEG", progressive=True, quality=70)


# -- PNG ----------------------------------------------------------------------------------------


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk with its CRC."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_file(chunks: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Signature and chunks."""
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(kind, body) for kind, body in chunks)


def png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """The chunks of a healthy PNG."""
    chunks, at = [], 8
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return chunks


def png(rng: np.random.Generator) -> bytes:
    """Grey, colour, palette, alpha or 16 bits."""
    height, width = (int(v) for v in rng.integers(1, 64, 2))
    kind = int(rng.integers(6))
    if kind == 0:
        return pillow_file(picture(rng, height, width, 1), "PNG")
    if kind == 1:
        return pillow_file(picture(rng, height, width), "PNG", mode="P")
    if kind == 2:
        return pillow_file(picture(rng, height, width, 4), "PNG")
    if kind == 3:
        return pillow_file(picture(rng, height, width, 1).astype(np.uint16) * 257, "PNG")
    if kind == 4:
        return pillow_file(picture(rng, height, width, 1), "PNG", mode="1")
    return pillow_file(picture(rng, height, width), "PNG")


# -- DICOM --------------------------------------------------------------------------------------


def element(tag: int, vr: bytes, value: bytes, *, explicit: bool = True, order: str = "<",
            length: int | None = None) -> bytes:  # fmt: skip
    """One element; `length` lies."""
    group, number = tag >> 16, tag & 0xFFFF
    head = struct.pack(f"{order}HH", group, number)
    if length is None:
        value += b"\0" * (len(value) % 2)
        length = len(value)
    if not explicit:
        return head + struct.pack(f"{order}I", length & UNDEFINED) + value
    if vr in _LONG_FORM:
        return head + vr + struct.pack(f"{order}HI", 0, length & UNDEFINED) + value
    return head + vr + struct.pack(f"{order}H", length & 0xFFFF) + value


def encapsulated(fragments: Sequence[bytes]) -> bytes:
    """An empty offset table, the fragments, the delimiter."""
    parts = [b"", *(part + b"\0" * (len(part) % 2) for part in fragments)]
    body = b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(part)) + part for part in parts)
    return body + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


def rle_frame(values: bytes) -> bytes:
    """One segment of literal runs (PS3.5 annex G)."""
    runs = (values[at : at + 128] for at in range(0, len(values), 128))
    coded = b"".join(bytes([len(run) - 1]) + run for run in runs)
    return struct.pack("<16I", 1, 64, *[0] * 14) + coded


def meta_group(syntax: str) -> bytes:
    """File meta information, preamble included."""
    body = element(0x00020001, b"OB", b"\0\1")
    body += element(0x00020002, b"UI", b"1.2.840.10008.5.1.4.1.1.7")
    body += element(0x00020003, b"UI", b"1.2.3")
    body += element(0x00020010, b"UI", syntax.encode())
    body += element(0x00020012, b"UI", b"1.2.3")
    length = element(0x00020000, b"UL", struct.pack("<I", len(body)))
    return b"\0" * 128 + b"DICM" + length + body


def dicom_elements(image: np.ndarray, *, order: str = "<") -> dict[int, Element]:
    """The pixel description of (H, W) or (H, W, 3) uint8 or uint16, without the pixels."""
    colour = image.ndim == 3
    bits = image.dtype.itemsize * 8

    def us(tag: int, value: int) -> Element:
        return tag, b"US", struct.pack(f"{order}H", value)

    listed = [
        us(0x00280002, 3 if colour else 1),
        (0x00280004, b"CS", b"RGB" if colour else b"MONOCHROME2"),
        *([us(0x00280006, 0)] if colour else []),
        us(0x00280010, image.shape[0]),
        us(0x00280011, image.shape[1]),
        us(0x00280100, bits),
        us(0x00280101, bits),
        us(0x00280102, bits - 1),
        us(0x00280103, 0),
        (0x00281050, b"DS", b"100"),
        (0x00281051, b"DS", b"200"),
    ]
    return {entry[0]: entry for entry in listed}


def dicom_file(
    syntax: str, elements: Sequence[Element], pixels: bytes, *, encapsulate: bool = False
) -> bytes:
    """A whole file; pixels are the value of the element (the encapsulated body if so)."""
    explicit = syntax != IMPLICIT_LE
    order = ">" if syntax == BIG_ENDIAN else "<"
    body = b"".join(element(*entry, explicit=explicit, order=order) for entry in elements)
    vr = b"OB" if encapsulate else b"OW"
    length = UNDEFINED if encapsulate else None
    body += element(0x7FE00010, vr, pixels, explicit=explicit, order=order, length=length)
    if syntax == DEFLATED:
        packer = zlib.compressobj(wbits=-15)
        body = packer.compress(body) + packer.flush()
    return meta_group(syntax) + body


def dicom_parts(rng: np.random.Generator) -> tuple[str, dict[int, Element], bytes, bool]:
    """Syntax, elements, pixel value and whether it is encapsulated, of a healthy image."""
    height, width = (int(v) for v in rng.integers(1, 48, 2))
    kinds = (EXPLICIT_LE, IMPLICIT_LE, BIG_ENDIAN, DEFLATED, RLE, JPEG_BASELINE)
    syntax = kinds[int(rng.integers(len(kinds)))]
    order = ">" if syntax == BIG_ENDIAN else "<"
    image = picture(rng, height, width, 3 if rng.integers(3) == 0 else 1)
    if syntax == RLE and image.ndim == 3:
        image = np.ascontiguousarray(image[:, :, 0])
    if syntax not in (RLE, JPEG_BASELINE) and image.ndim == 2 and rng.integers(2):
        image = image.astype(f"{order}u2") * 16
    elements = dicom_elements(image, order=order)
    if syntax == RLE:
        return syntax, elements, encapsulated([rle_frame(image.tobytes())]), True
    if syntax == JPEG_BASELINE:
        coded = pillow_file(image, "JPEG", quality=90)
        if image.ndim == 3:
            elements[0x00280004] = (0x00280004, b"CS", b"YBR_FULL_422")
        return syntax, elements, encapsulated([coded]), True
    return syntax, elements, image.tobytes(), False


def dicom(rng: np.random.Generator) -> bytes:
    """Uncompressed, deflated, RLE or JPEG."""
    syntax, elements, pixels, encapsulate = dicom_parts(rng)
    return dicom_file(syntax, list(elements.values()), pixels, encapsulate=encapsulate)


# -- the others ---------------------------------------------------------------------------------


def tiff(rng: np.random.Generator) -> bytes:
    """TIFF, uncompressed or with one of three compressions."""
    names = (None, "tiff_lzw", "tiff_adobe_deflate", "packbits")
    image = picture(rng, *(int(v) for v in rng.integers(1, 48, 2)), 1 if rng.integers(2) else 3)
    return pillow_file(image, "TIFF", compression=names[int(rng.integers(len(names)))])


def webp(rng: np.random.Generator) -> bytes:
    """WebP, lossless or not."""
    image = picture(rng, *(int(v) for v in rng.integers(1, 48, 2)))
    return pillow_file(image, "WEBP", lossless=bool(rng.integers(2)))


def bmp(rng: np.random.Generator) -> bytes:
    """BMP of 8 or 24 bits."""
    return pillow_file(
        picture(rng, *(int(v) for v in rng.integers(1, 48, 2)), 1 if rng.integers(2) else 3), "BMP"
    )


def gif(rng: np.random.Generator) -> bytes:
    """GIF."""
    return pillow_file(picture(rng, *(int(v) for v in rng.integers(1, 48, 2)), 1), "GIF")


FORMATS: dict[str, Callable[[np.random.Generator], bytes]] = {
    "jpg": jpeg,
    "progressive.jpg": progressive,
    "png": png,
    "dcm": dicom,
    "tif": tiff,
    "webp": webp,
    "bmp": bmp,
    "gif": gif,
}
