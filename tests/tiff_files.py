"""TIFF files of any kind from arrays; no library, so that every variant can be made."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

import numpy as np

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK = 0, 1, 2, 3, 5
PLAIN, LZW, DEFLATE, PACKBITS = 1, 5, 8, 32773


def pack_bits(data: bytes) -> bytes:
    """Apple's run lengths; literals and runs mixed."""
    out, at = bytearray(), 0
    while at < len(data):
        run = 1
        while run < 128 and at + run < len(data) and data[at + run] == data[at]:
            run += 1
        if run > 2:
            out += bytes([257 - run, data[at]])
            at += run
            continue
        piece = data[at : at + 7]
        out += bytes([len(piece) - 1]) + piece
        at += len(piece)
    return bytes(out)


def lzw(data: bytes) -> bytes:
    """TIFF's LZW with its growing table and early change of the code length."""
    bits: list[str] = []
    table: dict[bytes, int] = {}
    width = 9

    def emit(code: int) -> None:
        bits.append(f"{code:0{width}b}")

    def clear() -> None:
        nonlocal table, width
        emit(256)
        table, width = {bytes([i]): i for i in range(256)}, 9

    clear()
    prefix = b""
    for value in data:
        longer = prefix + bytes([value])
        if longer in table:
            prefix = longer
            continue
        emit(table[prefix])
        table[longer] = len(table) + 2
        if len(table) + 2 > (1 << width) - 1:
            width += 1
        if len(table) + 2 >= 4094:
            width = 12
            clear()
        prefix = bytes([value])
    if prefix:
        emit(table[prefix])
        # The reader adds an entry for this code as well and may be at the next length by now.
        if len(table) + 3 > (1 << width) - 1 and width < 12:
            width += 1
    emit(257)
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big") if text else b""


PACKERS: dict[int, Callable[[bytes], bytes]] = {
    PLAIN: bytes,
    LZW: lzw,
    DEFLATE: zlib.compress,
    PACKBITS: pack_bits,
}


def _rows(samples: np.ndarray, bits: int, order: str, predictor: bool) -> bytes:
    """(rows, columns, samples) to packed rows."""
    if predictor:
        differences = samples.copy()
        differences[:, 1:] -= samples[:, :-1]
        samples = differences
    if bits == 16:
        return samples.astype(f"{order}u2").tobytes()
    flat = samples.reshape(len(samples), -1).astype(np.uint8)
    if bits == 8:
        return flat.tobytes()
    shifts = np.arange(bits - 1, -1, -1)
    each = (flat[:, :, None] >> shifts) & 1
    return np.packbits(each.reshape(len(flat), -1).astype(np.uint8), axis=1).tobytes()


def tiff_file(
    samples: np.ndarray,
    *,
    photometric: int = BLACK_IS_ZERO,
    bits: int = 8,
    compression: int = PLAIN,
    predictor: bool = False,
    big_endian: bool = False,
    big: bool = False,
    tile: tuple[int, int] | None = None,
    rows_per_strip: int | None = None,
    planar: bool = False,
    extra: int | None = None,
    palette: np.ndarray | None = None,
    orientation: int | None = None,
    tags: tuple[tuple[int, int, bytes], ...] = (),
    pages: int = 1,
    pack: Callable[[bytes], bytes] | None = None,
) -> bytes:
    """A TIFF of (H, W, samples) values below 2^bits; tile: (height, width)."""
    order = ">" if big_endian else "<"
    height, width, count = samples.shape
    dtype = np.uint16 if bits == 16 else np.uint8
    pack = pack or PACKERS[compression]
    chunk_h, chunk_w = tile or (rows_per_strip or height, width)
    planes = [samples[:, :, i : i + 1] for i in range(count)] if planar else [samples]
    chunks = []
    for plane in planes:
        for top in range(0, height, chunk_h):
            for left in range(0, width, chunk_w):
                part = plane[top : top + chunk_h, left : left + chunk_w].astype(dtype)
                if tile:
                    whole = np.zeros((chunk_h, chunk_w, part.shape[2]), dtype)
                    whole[: part.shape[0], : part.shape[1]] = part
                    part = whole
                chunks.append(pack(_rows(part, bits, order, predictor)))
    offset_kind, offset_format = (16, "Q") if big else (4, "I")
    head = 16 if big else 8
    places, at = [], head
    for chunk in chunks:
        places.append(at)
        at += len(chunk)

    def numbers(kind: int, values: list[int]) -> bytes:
        return struct.pack(f"{order}{len(values)}{ {3: 'H', 4: 'I', 16: 'Q'}[kind] }", *values)

    def entry(tag: int, kind: int, *values: int) -> tuple[int, int, int, bytes]:
        return tag, kind, len(values), numbers(kind, list(values))

    entries = [
        entry(256, 4, width),
        entry(257, 4, height),
        entry(258, 3, *[bits] * count),
        entry(259, 3, compression),
        entry(262, 3, photometric),
        entry(277, 3, count),
        entry(284, 3, 2 if planar else 1),
    ]
    if tile:
        entries += [entry(322, 4, chunk_w), entry(323, 4, chunk_h)]
    else:
        entries.append(entry(278, 4, chunk_h))
    entries.append(entry(324 if tile else 273, offset_kind, *places))
    entries.append(entry(325 if tile else 279, 4, *[len(chunk) for chunk in chunks]))
    if predictor:
        entries.append(entry(317, 3, 2))
    if extra is not None:
        entries.append(entry(338, 3, extra))
    if palette is not None:
        entries.append(entry(320, 3, *palette.T.reshape(-1).tolist()))
    if orientation is not None:
        entries.append(entry(274, 3, orientation))
    entries += [(tag, kind, len(body), body) for tag, kind, body in tags]
    entries.sort(key=lambda e: e[0])
    body = b"".join(chunks)
    mark = b"MM" if big_endian else b"II"
    start = head + len(body)
    head_bytes = (
        mark + struct.pack(f"{order}HHHQ", 43, 8, 0, start)
        if big
        else mark + struct.pack(f"{order}HI", 42, start)
    )
    out = head_bytes + body
    for page in range(pages):
        out += _directory(entries, len(out), order, offset_format, page + 1 < pages)
    return out


def _directory(
    entries: list[tuple[int, int, int, bytes]], at: int, order: str, offset: str, more: bool
) -> bytes:
    big = offset == "Q"
    inline = 8 if big else 4
    size = (8 if big else 2) + len(entries) * (20 if big else 12) + inline
    table, beyond = struct.pack(f"{order}{'Q' if big else 'H'}", len(entries)), b""
    for tag, kind, count, value in entries:
        table += struct.pack(f"{order}HH{offset}", tag, kind, count)
        if len(value) <= inline:
            table += value.ljust(inline, b"\0")
        else:
            table += struct.pack(f"{order}{offset}", at + size + len(beyond))
            beyond += value
    return table + struct.pack(f"{order}{offset}", at + size + len(beyond) if more else 0) + beyond
