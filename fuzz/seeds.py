"""Writes seeds: the golden JPEG and PNG files, and DICOM of every encoding made of them.

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


def dicom(syntax, pixels, *, bits=16, rows=SIDE, columns=SIDE, samples=1, packed=False):
    """A file with window, rescale, a sequence and the pixels."""
    order = ">" if syntax == BIG_ENDIAN else "<"

    def put(group, number, vr, value, **more):
        return element(group, number, vr, value, syntax=syntax, **more)

    def short(number, value):
        return put(0x0028, number, "US", struct.pack(f"{order}H", value))

    shape = {0x10: rows, 0x11: columns, 0x100: bits, 0x101: bits, 0x102: bits - 1, 0x103: 0}
    photometric = b"MONOCHROME2" if samples == 1 else b"YBR_FULL_422"
    body = put(0x0010, 0x1010, "AS", b"061Y") + short(2, samples)
    body += put(0x0028, 4, "CS", photometric) + put(0x0028, 8, "IS", b"1")
    body += b"".join(short(number, value) for number, value in shape.items())
    for number, text in ((0x1050, b"40\\50"), (0x1051, b"400\\90"), (0x1052, b"-9"), (0x1053, b"2")):
        body += put(0x0028, number, "DS", text)
    item = struct.pack(f"{order}HHI", 0xFFFE, 0xE000, 10) + b"\0" * 10
    body += put(0x0028, 0x9145, "SQ", item)
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
    write("dicom", "rle", dicom(RLE, encapsulated(rle(ramp, ramp)), packed=True))
    lossless = Path("tests/goldens/lossless-grey.jpg").read_bytes()
    for name, syntax, jpeg in [
        ("lossless", JPEG_LOSSLESS, lossless),
        *((f"jpeg-{number}", JPEG, jpeg) for number, jpeg in enumerate(jpegs[:12])),
    ]:
        rows, columns, samples = size_of(jpeg)
        shape = {"bits": 8, "rows": rows, "columns": columns, "samples": samples}
        write("dicom", name, dicom(syntax, encapsulated(jpeg), packed=True, **shape))


if __name__ == "__main__":
    main()
