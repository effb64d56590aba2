"""Damaged and lying image files from a seed: the same number gives the same bytes.

`python tests/hostile/mutations.py FOLDER --count 500 --seed 1` writes them.
"""

from __future__ import annotations

import argparse
import itertools
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import seeds
from seeds import FORMATS, UNDEFINED, Element

Rng = np.random.Generator
Mutation = Callable[[Rng], tuple[str, bytes]]
"""Returns the file's suffix and its bytes."""

_SIZES = (0, 1, 7, 255, 256, 4096, 32768, 65500, 65535)
_WIDE = (0, 1, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1)


def _pick(rng: Rng, values: object) -> object:
    sequence = list(values)  # type: ignore[call-overload]
    return sequence[int(rng.integers(len(sequence)))]


def _any(rng: Rng) -> tuple[str, bytes]:
    suffix = str(_pick(rng, FORMATS))
    return suffix, FORMATS[suffix](rng)


# -- any format ---------------------------------------------------------------------------------


def bit_flips(rng: Rng) -> tuple[str, bytes]:
    suffix, data = _any(rng)
    changed = bytearray(data)
    for _ in range(int(2 ** rng.uniform(0, 7))):
        changed[int(rng.integers(len(changed)))] ^= 1 << int(rng.integers(8))
    return suffix, bytes(changed)


def header_flips(rng: Rng) -> tuple[str, bytes]:
    """A few bytes of the first hundred (behind the preamble of a DICOM file)."""
    suffix, data = _any(rng)
    changed = bytearray(data)
    start = 128 if suffix == "dcm" else 0
    for _ in range(int(rng.integers(1, 6))):
        at = start + int(rng.integers(min(300, len(changed) - start)))
        changed[at] = int(rng.integers(256))
    return suffix, bytes(changed)


def truncation(rng: Rng) -> tuple[str, bytes]:
    suffix, data = _any(rng)
    return suffix, data[: int(rng.integers(len(data)))]


def overwritten_run(rng: Rng) -> tuple[str, bytes]:
    suffix, data = _any(rng)
    at, size = int(rng.integers(len(data))), int(rng.integers(1, 64))
    fill = (b"\0", b"\xff", rng.bytes(1))[int(rng.integers(3))]
    return suffix, data[:at] + fill * size + data[at + size :]


def cut_out_or_doubled(rng: Rng) -> tuple[str, bytes]:
    suffix, data = _any(rng)
    a, b = sorted(int(v) for v in rng.integers(0, len(data), 2))
    return suffix, data[:a] + data[b:] if rng.integers(2) else data[:b] + data[a:]


def two_files_in_one(rng: Rng) -> tuple[str, bytes]:
    suffix, first = _any(rng)
    _, second = _any(rng)
    at = int(rng.integers(len(first)))
    return suffix, first[:at] + second[int(rng.integers(len(second))) :]


def noise(rng: Rng) -> tuple[str, bytes]:
    suffix, data = _any(rng)
    return suffix, data[: int(rng.integers(16, 64))] + rng.bytes(int(rng.integers(2000)))


# -- JPEG ---------------------------------------------------------------------------------------


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, start, end) of the segments up to the first scan's header."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        yield data[at + 1], at, end
        if data[at + 1] == 0xDA:
            return
        at = end


def _either_jpeg(rng: Rng) -> bytes:
    return seeds.progressive(rng) if rng.integers(3) == 0 else seeds.jpeg(rng)


def _frame_at(data: bytes) -> int:
    return next(start for marker, start, _ in _segments(data) if marker in (0xC0, 0xC1, 0xC2))


def jpeg_size_lie(rng: Rng) -> tuple[str, bytes]:
    data = bytearray(_either_jpeg(rng))
    at = _frame_at(data) + 5
    for place in (at, at + 2):
        if rng.integers(2):
            data[place : place + 2] = struct.pack(">H", int(_pick(rng, _SIZES)))
    return "jpg", bytes(data)


def jpeg_frame_lie(rng: Rng) -> tuple[str, bytes]:
    """Precision, number of components, sampling factors, tables or coding."""
    data = bytearray(_either_jpeg(rng))
    at = _frame_at(data)
    place = int(_pick(rng, (1, 4, 9, 10, 11, 12, 13, 14, 15)))
    values = (0, 1, 2, 4, 12, 16, 0x11, 0x12, 0x21, 0x22, 0x41, 0x44, 0xC1, 0xC2, 0xC3, 0xC9, 0xFF)
    data[at + place] = int(_pick(rng, values))
    return "jpg", bytes(data)


def jpeg_segment_lie(rng: Rng) -> tuple[str, bytes]:
    """The length of a segment, or its bytes, or the whole of it: gone, doubled, elsewhere."""
    data = _either_jpeg(rng)
    _, start, end = _pick(rng, _segments(data))  # type: ignore[misc]
    kind = int(rng.integers(5))
    if kind == 0:
        length = int(_pick(rng, (0, 1, 2, 3, 8, 65535)))
        return "jpg", data[: start + 2] + struct.pack(">H", length) + data[start + 4 :]
    if kind == 1:
        return "jpg", data[:start] + data[end:]
    if kind == 2:
        return "jpg", data[:end] + data[start:end] * int(rng.integers(1, 4)) + data[end:]
    if kind == 3:
        return "jpg", data[:2] + data[start:end] + data[2:start] + data[end:]
    body = rng.bytes(max(0, end - start - 4))
    return "jpg", data[: start + 4] + body + data[end:]


def jpeg_marker_soup(rng: Rng) -> tuple[str, bytes]:
    """Markers where none belong, restart markers most of all."""
    data = bytearray(_either_jpeg(rng))
    for _ in range(int(rng.integers(1, 12))):
        code = int(rng.integers(0xD0, 0xD8)) if rng.integers(2) else int(rng.integers(1, 256))
        at = int(rng.integers(2, len(data)))
        data[at:at] = bytes([0xFF, code])
    return "jpg", bytes(data)


def jpeg_restart_lie(rng: Rng) -> tuple[str, bytes]:
    data = _either_jpeg(rng)
    start = next(start for marker, start, _ in _segments(data) if marker == 0xDA)
    interval = struct.pack(">HHH", 0xFFDD, 4, int(_pick(rng, (0, 1, 2, 7, 65535))))
    return "jpg", data[:start] + interval + data[start:]


def jpeg_scan_bomb(rng: Rng) -> tuple[str, bytes]:
    """The last scan again and again: cheap to store, a pass over the image each."""
    data = seeds.progressive(rng)
    last = data.rindex(b"\xff\xda")
    scan = data[last : data.rindex(b"\xff\xd9")]
    times = int(_pick(rng, (2, 100, 480, 501, 2000)))
    return "jpg", data[:last] + scan * times + b"\xff\xd9"


def jpeg_exif_loop(rng: Rng) -> tuple[str, bytes]:
    """EXIF directories that point at themselves, outside, or hold thousands of entries."""
    data = seeds.jpeg(rng)
    count, offset = int(_pick(rng, (1, 5000, 65535))), int(_pick(rng, (*_WIDE, 8)))
    entry = struct.pack("<HHII", 0x0112, 3, int(_pick(rng, _WIDE)), int(rng.integers(0, 12)))
    tiff = b"II*\0" + struct.pack("<IH", offset, count) + entry * 3 + struct.pack("<I", 8)
    body = b"Exif\0\0" + tiff
    return "jpg", data[:2] + struct.pack(">HH", 0xFFE1, len(body) + 2) + body + data[2:]


# -- PNG ----------------------------------------------------------------------------------------


def png_size_lie(rng: Rng) -> tuple[str, bytes]:
    """With a right CRC, so that the lie is believed."""
    chunks = seeds.png_chunks(seeds.png(rng))
    header = bytearray(chunks[0][1])
    for place in (0, 4):
        if rng.integers(2):
            header[place : place + 4] = struct.pack(">I", int(_pick(rng, (*_SIZES, *_WIDE))))
    chunks[0] = (b"IHDR", bytes(header))
    return "png", seeds.png_file(chunks)


def png_kind_lie(rng: Rng) -> tuple[str, bytes]:
    """Bit depth, colour type, compression, filter or interlacing."""
    chunks = seeds.png_chunks(seeds.png(rng))
    header = bytearray(chunks[0][1])
    header[int(rng.integers(8, 13))] = int(_pick(rng, (0, 1, 2, 3, 4, 6, 7, 8, 16, 255)))
    chunks[0] = (b"IHDR", bytes(header))
    return "png", seeds.png_file(chunks)


def png_chunk_play(rng: Rng) -> tuple[str, bytes]:
    """Chunks gone, doubled, in another order, or of an unknown critical kind."""
    chunks = seeds.png_chunks(seeds.png(rng))
    at, kind = int(rng.integers(len(chunks))), int(rng.integers(4))
    if kind == 0:
        del chunks[at]
    elif kind == 1:
        chunks[at:at] = [chunks[at]] * int(rng.integers(1, 4))
    elif kind == 2:
        chunks.insert(int(rng.integers(len(chunks))), chunks.pop(at))
    else:
        name = bytes(rng.integers(65, 91, 4, dtype=np.uint8))
        chunks.insert(at, (name, rng.bytes(int(rng.integers(40)))))
    return "png", seeds.png_file(chunks)


def png_wrong_crc(rng: Rng) -> tuple[str, bytes]:
    chunks = seeds.png_chunks(seeds.png(rng))
    data = bytearray(seeds.png_file(chunks))
    end = 8 + sum(12 + len(body) for _, body in chunks[: int(rng.integers(1, len(chunks) + 1))])
    data[end - 1] ^= 1 << int(rng.integers(8))
    return "png", bytes(data)


def png_length_lie(rng: Rng) -> tuple[str, bytes]:
    chunks = seeds.png_chunks(seeds.png(rng))
    at = 8 + sum(12 + len(body) for _, body in chunks[: int(rng.integers(len(chunks)))])
    data = bytearray(seeds.png_file(chunks))
    data[at : at + 4] = struct.pack(">I", int(_pick(rng, (0, 1, 8, 2**31 - 1, 2**31, 2**32 - 1))))
    return "png", bytes(data)


def png_pixel_bomb(rng: Rng) -> tuple[str, bytes]:
    """Far more or far fewer deflated bytes than the header needs; or a palette out of range."""
    side = int(_pick(rng, (1, 16, 3000)))
    held = int(_pick(rng, (0, 100, 2_000_000)))
    color = int(_pick(rng, (0, 2, 3)))
    header = struct.pack(">IIBBBBB", side, side, 8, color, 0, 0, int(rng.integers(2)))
    pixels = zlib.compress(bytes([int(rng.integers(2))]) * held, 9)
    palette = [(b"PLTE", bytes(3 * int(rng.integers(1, 5))))] if color == 3 else []
    return "png", seeds.png_file([(b"IHDR", header), *palette, (b"IDAT", pixels), (b"IEND", b"")])


def png_text_bomb(rng: Rng) -> tuple[str, bytes]:
    """Megabytes of text or colour profile in a few kilobytes."""
    chunks = seeds.png_chunks(seeds.png(rng))
    packed = zlib.compress(b"A" * int(_pick(rng, (10, 20_000_000))), 9)
    kind, prefix = _pick(  # type: ignore[misc]
        rng, ((b"zTXt", b"k\0\0"), (b"iCCP", b"k\0\0"), (b"iTXt", b"k\0\1\0\0\0"), (b"eXIf", b""))
    )
    chunks[1:1] = [(kind, prefix + packed)] * int(rng.integers(1, 4))
    return "png", seeds.png_file(chunks)


# -- DICOM --------------------------------------------------------------------------------------


def _dicom(rng: Rng, change: Callable[[dict[int, Element], str], None]) -> tuple[str, bytes]:
    """A healthy file after `change`, which gets the elements and the byte order."""
    syntax, elements, pixels, encapsulate = seeds.dicom_parts(rng)
    change(elements, ">" if syntax == seeds.BIG_ENDIAN else "<")
    return "dcm", seeds.dicom_file(syntax, list(elements.values()), pixels, encapsulate=encapsulate)


def dicom_value_lie(rng: Rng) -> tuple[str, bytes]:
    """A number of the pixel description that is not true, sometimes of the wrong VR."""

    def change(elements: dict[int, Element], order: str) -> None:
        for _ in range(int(rng.integers(1, 3))):
            tags = (0x00280002, 0x00280006, 0x00280008, 0x00280010, 0x00280011)
            tags += (0x00280100, 0x00280101, 0x00280102, 0x00280103)
            tag = int(_pick(rng, tags))
            value = int(_pick(rng, (*_SIZES, 2, 3, 4, 8, 12, 16, 17, 32, 64)))
            entry = (tag, b"US", struct.pack(f"{order}H", value))
            if tag == 0x00280008:
                frames = (-1, 0, 2, 100_000, 2**31, 10**11)
                entry = (tag, b"IS", str(_pick(rng, frames)).encode())
            elif rng.integers(4) == 0:
                entry = (tag, b"UL", struct.pack(f"{order}I", int(_pick(rng, _WIDE))))
            elements[tag] = entry

    return _dicom(rng, change)


def dicom_text_lie(rng: Rng) -> tuple[str, bytes]:
    """Photometric interpretation, window and rescale that make no sense."""

    def change(elements: dict[int, Element], order: str) -> None:
        tags = (0x00280004, 0x00281050, 0x00281051, 0x00281052, 0x00281053, 0x00281056)
        tag = int(_pick(rng, tags))
        words = (b"", b"MONOCHROME1", b"PALETTE COLOR", b"YBR_FULL", b"HSV", b"0", b"-1", b"1e400")
        words += (b"NaN", b"1\\2\\3", b"abc", b"\xff\xfe", b"9" * 200, b"SIGMOID", b"0.0000001")
        elements[tag] = (tag, b"DS" if tag & 0xFF != 4 else b"CS", bytes(_pick(rng, words)))  # type: ignore[arg-type]

    return _dicom(rng, change)


def dicom_nesting(rng: Rng) -> tuple[str, bytes]:
    """Sequences in sequences, closed or not."""
    depth = int(_pick(rng, (2, 31, 33, 100, 10_000)))
    explicit = bool(rng.integers(2))
    item = struct.pack("<HHI", 0xFFFE, 0xE000, UNDEFINED)
    opened = seeds.element(0x00081140, b"SQ", b"", explicit=explicit, length=UNDEFINED) + item
    closed = struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    body = opened * depth + (closed * depth if rng.integers(2) else b"")
    syntax = seeds.EXPLICIT_LE if explicit else seeds.IMPLICIT_LE
    rest = seeds.dicom_file(syntax, list(seeds.dicom_elements(np.zeros((4, 4), np.uint8)).values()),
                            bytes(16))  # fmt: skip
    return "dcm", seeds.meta_group(syntax) + body + rest[len(seeds.meta_group(syntax)) :]


def dicom_length_lie(rng: Rng) -> tuple[str, bytes]:
    """An element that claims more, less or an undefined number of bytes."""
    syntax = str(_pick(rng, (seeds.EXPLICIT_LE, seeds.IMPLICIT_LE)))
    explicit = syntax == seeds.EXPLICIT_LE
    length = int(_pick(rng, (1, 3, 65535, 2**20, 2**31 - 2, 2**31, 2**32 - 2, UNDEFINED)))
    vr = bytes(_pick(rng, (b"LO", b"UI", b"SQ", b"OB", b"UN", b"UT", b"ZZ", b"\0\0")))  # type: ignore[arg-type]
    lie = seeds.element(0x00100010, vr, b"A^B ", explicit=explicit, length=length)
    image = np.zeros((4, 4), np.uint8)
    listed = b"".join(
        seeds.element(*e, explicit=explicit) for e in seeds.dicom_elements(image).values()
    )
    pixels = seeds.element(0x7FE00010, b"OW", bytes(16), explicit=explicit)
    return "dcm", seeds.meta_group(syntax) + lie + listed + pixels


def dicom_pixel_lie(rng: Rng) -> tuple[str, bytes]:
    """Too few or too many pixels, fragments that are cut, of another kind, or lead nowhere."""
    syntax, elements, pixels, encapsulate = seeds.dicom_parts(rng)
    kind = int(rng.integers(5))
    if kind == 0:
        pixels = pixels[: int(rng.integers(len(pixels)))]
    elif kind == 1:
        pixels += rng.bytes(int(rng.integers(100)))
    elif kind == 2:
        coded = bytes(_pick(rng, (b"", b"\xff\xd8", rng.bytes(70), seeds.png(rng))))  # type: ignore[arg-type]
        syntax = str(_pick(rng, (seeds.RLE, seeds.JPEG_BASELINE, seeds.JPEG_LOSSLESS)))
        pixels, encapsulate = seeds.encapsulated([coded] * int(rng.integers(4))), True
    elif kind == 3:
        table = struct.pack("<4I", *(int(v) for v in rng.integers(0, 2**32, 4)))
        pixels = struct.pack("<HHI", 0xFFFE, 0xE000, 16) + table + pixels[8:]
    else:
        offsets = [int(v) for v in rng.integers(0, 2**32, 15)]
        head = struct.pack("<16I", int(_pick(rng, (0, 1, 3, 16, 2**32 - 1))), *offsets)
        syntax, encapsulate = seeds.RLE, True
        pixels = seeds.encapsulated([head + rng.bytes(50)])
    return "dcm", seeds.dicom_file(syntax, list(elements.values()), pixels, encapsulate=encapsulate)


def dicom_syntax_lie(rng: Rng) -> tuple[str, bytes]:
    """Another transfer syntax than the bytes have, no preamble, or a damaged meta group."""
    _, elements, pixels, encapsulate = seeds.dicom_parts(rng)
    names = (seeds.EXPLICIT_LE, seeds.IMPLICIT_LE, seeds.BIG_ENDIAN, seeds.DEFLATED, seeds.RLE)
    names += (seeds.JPEG_BASELINE, seeds.JPEG_2000, "1.2.3.4", "", "x" * 64)
    data = seeds.dicom_file(
        seeds.EXPLICIT_LE, list(elements.values()), pixels, encapsulate=encapsulate
    )
    head = seeds.meta_group(seeds.EXPLICIT_LE)
    data = seeds.meta_group(str(_pick(rng, names))) + data[len(head) :]
    return "dcm", data[132:] if rng.integers(5) == 0 else data


def dicom_deflate_bomb(rng: Rng) -> tuple[str, bytes]:
    """A deflated data set of tens of megabytes in some kilobytes."""
    packer = zlib.compressobj(9, wbits=-15)
    size = int(_pick(rng, (1_000, 40_000_000)))
    body = seeds.element(0x00091001, b"OB", b"", length=size) + bytes(size)
    return "dcm", seeds.meta_group(seeds.DEFLATED) + packer.compress(body) + packer.flush()


# -- TIFF, WebP, BMP, GIF -----------------------------------------------------------------------


def tiff_entry_lie(rng: Rng) -> tuple[str, bytes]:
    """A directory entry with another type, count or value; or a directory that leads to itself."""
    data = bytearray(seeds.tiff(rng))
    directory = struct.unpack_from("<I", data, 4)[0]
    count = struct.unpack_from("<H", data, directory)[0]
    at = directory + 2 + 12 * int(rng.integers(count))
    kind = int(rng.integers(4))
    if kind == 0:
        struct.pack_into("<H", data, at + 2, int(_pick(rng, (0, 1, 2, 3, 4, 5, 12, 13, 99))))
    elif kind == 1:
        struct.pack_into("<I", data, at + 4, int(_pick(rng, _WIDE)))
    elif kind == 2:
        struct.pack_into("<I", data, at + 8, int(_pick(rng, (*_SIZES, *_WIDE))))
    else:
        struct.pack_into("<I", data, directory + 2 + 12 * count, directory)
    return "tif", bytes(data)


def small_header_lie(rng: Rng) -> tuple[str, bytes]:
    """Sizes of a BMP, GIF or WebP."""
    suffix = str(_pick(rng, ("bmp", "gif", "webp")))
    data = bytearray(FORMATS[suffix](rng))
    places = {"bmp": (2, 10, 14, 18, 22, 28, 30, 46), "gif": (6, 8, 10), "webp": (4, 16, 23, 26)}
    at = int(_pick(rng, places[suffix]))
    value = struct.pack("<I", int(_pick(rng, (*_SIZES, *_WIDE))))
    width = 4 if suffix == "bmp" and at not in (28,) else 2
    data[at : at + width] = value[:width]
    return suffix, bytes(data)


MUTATIONS: dict[str, Mutation] = {
    mutation.__name__: mutation
    for mutation in (
        *(bit_flips, header_flips, truncation, overwritten_run, cut_out_or_doubled),
        *(two_files_in_one, noise),
        *(jpeg_size_lie, jpeg_frame_lie, jpeg_segment_lie, jpeg_marker_soup, jpeg_restart_lie),
        *(jpeg_scan_bomb, jpeg_exif_loop),
        *(png_size_lie, png_kind_lie, png_chunk_play, png_wrong_crc, png_length_lie),
        *(png_pixel_bomb, png_text_bomb),
        *(dicom_value_lie, dicom_text_lie, dicom_nesting, dicom_length_lie, dicom_pixel_lie),
        *(dicom_syntax_lie, dicom_deflate_bomb),
        *(tiff_entry_lie, small_header_lie),
    )
}
_TWICE = 7  # the mutations of any format come twice as often


def mutated(number: int, *, seed: int) -> tuple[str, bytes]:
    """File `number`: its name and its bytes. Every mutation has its turn."""
    names = [*list(MUTATIONS)[:_TWICE], *MUTATIONS]
    name = names[number % len(names)]
    suffix, data = MUTATIONS[name](np.random.default_rng((seed, number)))
    return f"{number:05}-{name}.{suffix}", data


def write_mutations(
    folder: Path, *, count: int, seed: int, chosen: Callable[[str], bool] = lambda name: True
) -> list[Path]:
    """Write the first `count` files whose names are chosen into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for number in itertools.count():
        if len(paths) == count:
            break
        name, data = mutated(number, seed=seed)
        if chosen(name):
            paths.append(folder / name)
            paths[-1].write_bytes(data)
    return paths


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    write_mutations(arguments.folder, count=arguments.count, seed=arguments.seed)
