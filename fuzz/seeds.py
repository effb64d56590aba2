"""Writes seeds: the golden JPEG and PNG files, DICOM of every encoding made of them, zlib streams.

Run it from the root of the repository; plain Python is enough.
"""

import json
import struct
import zlib
from pathlib import Path

CORPUS = Path("fuzz/corpus")
IMPLICIT, EXPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
DEFLATED, RLE = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5"
JPEG, JPEG_LOSSLESS = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.70"
LONG = ("OB", "OW", "SQ")
SIDE = 8


def element(group, number, vr, value, *, syntax=EXPLICIT, undefined=False):
    """One element; the value is padded to an even length."""
    order = ">" if syntax == BIG_ENDIAN else "<"
    value += (b"\0" if vr in ("OB", "UI") else b" ") * (len(value) % 2)
    length = 0xFFFFFFFF if undefined else len(value)
    head = struct.pack(f"{order}HH", group, number)
    if syntax == IMPLICIT:
        return head + struct.pack("<I", length) + value
    if vr in LONG:
        return head + vr.encode() + b"\0\0" + struct.pack(f"{order}I", length) + value
    return head + vr.encode() + struct.pack(f"{order}H", length) + value


def encapsulated(frame):
    """An empty offset table, one fragment, the delimiter."""
    frame += b"\0" * (len(frame) % 2)
    parts = (0xE000, b""), (0xE000, frame), (0xE0DD, b"")
    return b"".join(struct.pack("<HHI", 0xFFFE, kind, len(data)) + data for kind, data in parts)


def words(syntax, *values):
    """16-bit numbers in the order of the syntax."""
    return struct.pack(f"{'>' if syntax == BIG_ENDIAN else '<'}{len(values)}H", *values)


def sequence(group, number, *items, syntax, undefined):
    """A sequence of data sets, all of undefined length or none."""

    def mark(number, length):
        return struct.pack(">HHI" if syntax == BIG_ENDIAN else "<HHI", 0xFFFE, number, length)

    value = b""
    for item in items:
        value += mark(0xE000, 0xFFFFFFFF if undefined else len(item)) + item
        value += mark(0xE00D, 0) if undefined else b""
    value += mark(0xE0DD, 0) if undefined else b""
    return element(group, number, "SQ", value, syntax=syntax, undefined=undefined)


def tables(syntax, *, undefined):
    """A modality and a VOI lookup table."""
    lut = element(0x0028, 0x3002, "US", words(syntax, 64, 0, 16), syntax=syntax)
    lut += element(0x0028, 0x3006, "OW", words(syntax, *range(0, 6400, 100)), syntax=syntax)
    how = {"syntax": syntax, "undefined": undefined}
    return sequence(0x0028, 0x3000, lut, **how) + sequence(0x0028, 0x3010, lut, lut, **how)


def groups(syntax, *, undefined):
    """Functional groups: a spacing for all frames, a window and a rescale of each of two."""

    def text(number, value):
        return element(0x0028, number, "DS", value, syntax=syntax)

    def inside(number, item):
        return sequence(0x0028, number, item, syntax=syntax, undefined=undefined)

    shared = inside(0x9110, text(0x30, b"0.5\\0.25"))
    frames = [
        inside(0x9132, text(0x1050, b"40") + text(0x1051, width))
        + inside(0x9145, text(0x1052, b"-9") + text(0x1053, b"2"))
        for width in (b"80", b"400")
    ]
    how = {"syntax": syntax, "undefined": undefined}
    return sequence(0x5200, 0x9229, shared, **how) + sequence(0x5200, 0x9230, *frames, **how)


def palette(syntax, *, segmented):
    """Three tables of colours; a segmented one is a ramp and its repetition."""
    entries = (0, 1, 0, 1, 31, 99, 2, 1, 3, 0) if segmented else range(64)
    described = b"".join(
        element(0x0028, number, "US", words(syntax, 63 if segmented else 64, 0, 16), syntax=syntax)
        for number in (0x1101, 0x1102, 0x1103)
    )
    first = 0x1221 if segmented else 0x1201
    return described + b"".join(
        element(0x0028, first + channel, "OW", words(syntax, *entries), syntax=syntax)
        for channel in range(3)
    )


def dicom(
    syntax, pixels, *, bits=16, rows=SIDE, columns=SIDE, samples=1, packed=False, frames=1,
    photometric=None, more=b"",
):  # fmt: skip
    """A file with window, rescale, a sequence, what is more, and the pixels."""
    order = ">" if syntax == BIG_ENDIAN else "<"

    def put(group, number, vr, value, **more):
        return element(group, number, vr, value, syntax=syntax, **more)

    def short(number, value):
        return put(0x0028, number, "US", struct.pack(f"{order}H", value))

    shape = {0x10: rows, 0x11: columns, 0x100: bits, 0x101: bits, 0x102: bits - 1, 0x103: 0}
    photometric = photometric or (b"MONOCHROME2" if samples == 1 else b"YBR_FULL_422")
    body = put(0x0010, 0x1010, "AS", b"061Y") + short(2, samples)
    body += put(0x0028, 4, "CS", photometric) + put(0x0028, 8, "IS", b"%d" % frames)
    body += b"".join(short(number, value) for number, value in shape.items())
    for number, text in ((0x1050, b"40\\50"), (0x1051, b"400\\90"), (0x1052, b"-9"), (0x1053, b"2")):
        body += put(0x0028, number, "DS", text)
    item = struct.pack(f"{order}HHI", 0xFFFE, 0xE000, 10) + b"\0" * 10
    body += put(0x0028, 0x9145, "SQ", item) + more
    body += put(0x7FE0, 0x0010, "OB" if packed else "OW", pixels, undefined=packed)
    if syntax == DEFLATED:
        packer = zlib.compressobj(wbits=-15)
        body = packer.compress(body) + packer.flush()
    return b"\0" * 128 + b"DICM" + element(2, 0x10, "UI", syntax.encode()) + body


def rle(high, low):
    """Two segments, a literal run each."""
    runs = [bytes([len(plane) - 1]) + plane + b"\0" for plane in (high, low)]
    header = struct.pack("<16I", 2, 64, 64 + len(runs[0]), *[0] * 13)
    return header + b"".join(runs)


def write(kind, name, data):
    folder = CORPUS / kind
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def deflated():
    """Streams of all kinds of blocks, behind the length of what they hold."""
    ramp, pair = bytes(range(256)) * 2, b"ab" * 200
    uneven = bytes(value * value % 251 % (1 + value % 19) for value in range(3000))
    for number, data in enumerate((b"", b"a", ramp, pair, uneven, uneven + ramp + uneven)):
        for level in (0, 1, 9):
            for name, strategy in (("", zlib.Z_DEFAULT_STRATEGY), ("-fixed", zlib.Z_FIXED)):
                packer = zlib.compressobj(level, zlib.DEFLATED, -15, 9, strategy)
                stream = packer.compress(data) + packer.flush()
                yield f"{number}-{level}{name}", struct.pack("<H", len(data)) + stream


def size_of(jpeg):
    """(rows, columns, components) by the first frame header."""
    at = 2
    while jpeg[at + 1] not in (0xC0, 0xC1, 0xC2, 0xC3):
        at += 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
    return *struct.unpack(">HH", jpeg[at + 5 : at + 9]), jpeg[at + 9]


def main():
    goldens = json.loads(Path("tests/goldens/pixels.json").read_text())
    jpegs = []
    for number, case in enumerate(goldens["decode"]):
        data = bytes.fromhex(case["file"])
        kind = "png" if data.startswith(b"\x89PNG") else "jpeg"
        write(kind, f"golden-{number:03}", data)
        jpegs += [data] if kind == "jpeg" else []
    for path in Path("rust/medprep-core/src/decode/jpeg_sequential/goldens").glob("*.jpg"):
        write("jpeg", path.name, path.read_bytes())
    ramp = bytes(range(SIDE * SIDE))
    plain = b"".join(bytes((value, value % 16)) for value in ramp)
    for name, syntax in (
        ("implicit", IMPLICIT), ("explicit", EXPLICIT), ("big", BIG_ENDIAN), ("deflated", DEFLATED)
    ):  # fmt: skip
        write("dicom", name, dicom(syntax, plain))
    for name, syntax in ("implicit", IMPLICIT), ("explicit", EXPLICIT), ("big", BIG_ENDIAN):
        for undefined in (False, True):
            end = f"{name}-{'undefined' if undefined else 'defined'}"
            more = tables(syntax, undefined=undefined)
            write("dicom", f"tables-{end}", dicom(syntax, plain, more=more))
            more = groups(syntax, undefined=undefined)
            write("dicom", f"groups-{end}", dicom(syntax, 2 * plain, frames=2, more=more))
        for segmented in (False, True):
            more = palette(syntax, segmented=segmented)
            file = dicom(syntax, ramp, bits=8, photometric=b"PALETTE COLOR", more=more)
            write("dicom", f"palette-{name}{'-segmented' * segmented}", file)
    write("dicom", "rle", dicom(RLE, encapsulated(rle(ramp, ramp)), packed=True))
    lossless = Path("tests/goldens/lossless-grey.jpg").read_bytes()
    for name, syntax, jpeg in [
        ("lossless", JPEG_LOSSLESS, lossless),
        *((f"jpeg-{number}", JPEG, jpeg) for number, jpeg in enumerate(jpegs[:12])),
    ]:
        rows, columns, samples = size_of(jpeg)
        shape = {"bits": 8, "rows": rows, "columns": columns, "samples": samples}
        write("dicom", name, dicom(syntax, encapsulated(jpeg), packed=True, **shape))
    for name, data in deflated():
        write("inflate", name, data)


if __name__ == "__main__":
    main()
