"""200 DICOM files and 100 JPEGs and PNGs that name a patient wherever a file can.

Some are broken, most of them right where the patient is named, so that messages are made of them.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import seeds
from canaries import DATE, NAME, NUMBER
from PIL import Image, TiffImagePlugin

CLASSES = ("normal", "sick")


def name(what: str, number: int) -> bytes:
    """A text canary for one field of one file."""
    return f"{NAME}-{what}-{number:03}-{NAME}".encode()


def uid(number: int, part: int) -> bytes:
    return f"{NUMBER}.{number}.{part}.{NUMBER}".encode()


# -- DICOM --------------------------------------------------------------------------------------


def _texts(number: int) -> list[seeds.Element]:
    """40 canaries: person, record, dates, institution, people, UIDs, comments, private tags."""
    listed = [
        (0x00080014, b"UI", uid(number, 1)),
        (0x00080018, b"UI", uid(number, 2)),
        (0x00080020, b"DA", DATE.encode()),
        (0x00080021, b"DA", DATE.encode()),
        (0x00080022, b"DA", DATE.encode()),
        (0x00080023, b"DA", DATE.encode()),
        (0x0008002A, b"DT", DATE.encode() + b"084159"),
        (0x00080050, b"SH", NAME.encode() + b"%03d" % number),
        (0x00080080, b"LO", name("institution", number)),
        (0x00080081, b"ST", name("address", number)),
        (0x00080090, b"PN", name("referring", number)),
        (0x00080092, b"ST", name("referringaddress", number)),
        (0x00080094, b"SH", NUMBER.encode()),
        (0x00081010, b"SH", NAME.encode()),
        (0x00081030, b"LO", name("study", number)),
        (0x0008103E, b"LO", name("series", number)),
        (0x00081040, b"LO", name("department", number)),
        (0x00081048, b"PN", name("physician", number)),
        (0x00081050, b"PN", name("performing", number)),
        (0x00081060, b"PN", name("reading", number)),
        (0x00081070, b"PN", name("operator", number)),
        (0x00081080, b"LO", name("diagnosis", number)),
        (0x00082111, b"ST", name("derivation", number)),
        (0x00090010, b"LO", name("creator", number)),
        (0x00091001, b"LO", name("private", number)),
        (0x00091002, b"UN", name("privateun", number)),
        (0x00100010, b"PN", name("patient", number)),
        (0x00100020, b"LO", NUMBER.encode() + b"%03d" % number),
        (0x00100030, b"DA", DATE.encode()),
        (0x00101000, b"LO", name("otherids", number)),
        (0x00101001, b"PN", name("othernames", number)),
        (0x00101040, b"LO", name("home", number)),
        (0x00102154, b"SH", NUMBER.encode()),
        (0x001021B0, b"LT", name("history", number)),
        (0x00104000, b"LT", name("comments", number)),
        (0x00181030, b"LO", name("protocol", number)),
        (0x0020000D, b"UI", uid(number, 3)),
        (0x0020000E, b"UI", uid(number, 4)),
        (0x00200010, b"SH", NAME.encode()),
        (0x00204000, b"LT", name("imagecomments", number)),
    ]
    assert len(listed) == 40
    return listed


def _sequence(number: int) -> bytes:
    """The value of Request Attributes Sequence: one item, another sequence in it."""
    inner = seeds.element(0x00401004, b"LO", name("nested", number))
    inner = _item(inner + seeds.element(0x00100010, b"PN", name("nestedpatient", number)))
    outer = seeds.element(0x00321033, b"LO", name("requesting", number))
    return _item(outer + seeds.element(0x00081110, b"SQ", inner))


def _item(body: bytes) -> bytes:
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(body)) + body


Break = Callable[[dict[int, seeds.Element], int], None]


def _set(tag: int, vr: bytes, what: str) -> Break:
    def change(elements: dict[int, seeds.Element], number: int) -> None:
        elements[tag] = (tag, vr, name(what, number))

    return change


BREAKS: dict[str, Break] = {
    # values of the pixel description that are a canary
    "photometric": _set(0x00280004, b"CS", "photometric"),
    "rows as text": _set(0x00280010, b"LO", "rows"),
    "bits as text": _set(0x00280100, b"IS", "bits"),
    "samples as text": _set(0x00280002, b"IS", "samples"),
    "frames": _set(0x00280008, b"IS", "frames"),
    "window": _set(0x00281050, b"DS", "window"),
    "slope": _set(0x00281053, b"DS", "slope"),
    "function": _set(0x00281056, b"LO", "function"),
    "padding": _set(0x00280120, b"IS", "padding"),
    "planar": _set(0x00280006, b"IS", "planar"),
    # what an allow-list might take over unread
    "view": _set(0x00185101, b"CS", "view"),
    "age": _set(0x00101010, b"AS", "age"),
    "sex": _set(0x00100040, b"CS", "sex"),
    "spacing": _set(0x00280030, b"DS", "spacing"),
    "character set": _set(0x00080005, b"CS", "charset"),
    "modality": _set(0x00080060, b"CS", "modality"),
    # values that contradict their VR
    "date": _set(0x00080020, b"DA", "date"),
    "time": _set(0x00080030, b"TM", "time"),
    "date and time": _set(0x0008002A, b"DT", "datetime"),
    "integer": _set(0x00200013, b"IS", "instance"),
    "tag": _set(0x00280009, b"AT", "frame-increment"),
    "unknown vr": _set(0x00091003, b"ZZ", "unknownvr"),
}


def dicom(number: int, rng: np.random.Generator) -> bytes:
    """File `number`; one in three healthy, the others broken in one of many ways."""
    kinds = (seeds.EXPLICIT_LE, seeds.RLE, seeds.JPEG_BASELINE, seeds.IMPLICIT_LE)
    syntax = kinds[number % 4]
    image = seeds.picture(rng, 24, 20, 1)
    elements = {entry[0]: entry for entry in _texts(number)} | seeds.dicom_elements(image)
    explicit = syntax != seeds.IMPLICIT_LE
    elements[0x00400275] = (0x00400275, b"SQ", _sequence(number) if explicit else b"")
    encapsulate = syntax in (seeds.RLE, seeds.JPEG_BASELINE)
    pixels = image.tobytes()
    if syntax == seeds.RLE:
        pixels = seeds.encapsulated([seeds.rle_frame(pixels)])
    elif syntax == seeds.JPEG_BASELINE:
        coded = _with_comment(seeds.pillow_file(image, "JPEG"), name("fragment", number))
        pixels = seeds.encapsulated([coded[: len(coded) // 2] if number % 8 == 2 else coded])
    breaks = [None] * 11 + list(BREAKS)
    way = breaks[number % len(breaks)]
    if way is not None:
        BREAKS[way](elements, number)
    ordered = [elements[tag] for tag in sorted(elements)]
    data = seeds.dicom_file(syntax, ordered, pixels, encapsulate=encapsulate)
    return _broken(data, number)


def _broken(data: bytes, number: int) -> bytes:
    """Damage that no element alone can have, for one file in three."""
    kind = number % 30
    at = data.index(NAME.encode() + b"-patient")
    if kind == 1:  # cut inside the name
        return data[: at + 11]
    if kind == 4:  # no preamble: the name comes at once
        return data[132:]
    if kind == 7:
        return name("first", number) + data[132:]
    if kind == 10:  # the name claims to be longer than the file
        return data[: at - 2] + b"\xff\xff" + data[at:]
    if kind == 13:  # odd length: everything behind it is shifted
        return data[: at - 2] + b"\x07\x00" + data[at:]
    if kind == 16:  # another transfer syntax, known to nobody
        old = data[: data.index(b"UI", 280)]
        syntax = uid(number, 9)
        head = seeds.meta_group(syntax.decode())
        assert old
        return head + data[len(seeds.meta_group(seeds.EXPLICIT_LE)) :]
    if kind == 19:  # a meta group that holds names where UIDs belong
        return data[:132] + seeds.element(0x00020010, b"UI", name("syntax", number)) + data[144:]
    if kind == 22:  # an unclosed sequence around everything
        head = len(seeds.meta_group(seeds.EXPLICIT_LE))
        opened = seeds.element(0x00081140, b"SQ", b"", length=seeds.UNDEFINED)
        return data[:head] + opened + struct.pack("<HHI", 0xFFFE, 0xE000, 2**31) + data[head:]
    if kind == 25:  # cut inside the pixels
        return data[:-30]
    return data


# -- JPEG and PNG -------------------------------------------------------------------------------


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">HH", 0xFF00 | marker, len(body) + 2) + body


def _with_comment(data: bytes, text: bytes) -> bytes:
    return data[:2] + _segment(0xFE, text) + data[2:]


def _exif(number: int) -> bytes:
    exif = Image.Exif()
    fields = (0x010D, 0x010E, 0x010F, 0x0110, 0x0131, 0x013B, 0x013C, 0x8298, 0x9C9B, 0x9C9D)
    for field in fields:
        exif[field] = name(f"exif{field:x}", number).decode()
    exif[0x0132] = f"{DATE[:4]}:{DATE[4:6]}:{DATE[6:]} {DATE}"
    details = exif.get_ifd(0x8769)
    for field in (0x9286, 0xA420, 0xA430, 0xA431, 0xA433, 0xA434, 0xA435):
        details[field] = name(f"details{field:x}", number).decode()
    details[0x9003] = DATE
    gps = exif.get_ifd(0x8825)
    gps[0x1B] = name("gpsmethod", number)
    gps[0x1D] = DATE
    gps[2] = tuple(TiffImagePlugin.IFDRational(value) for value in (52, 31, int(NUMBER[:6])))
    return exif.tobytes()


def _xmp(number: int) -> bytes:
    fields = "".join(
        f"<dc:{what}>{name(what, number).decode()}</dc:{what}>"
        for what in ("creator", "title", "rights", "subject", "source", "identifier", "coverage")
    )
    return f"<x:xmpmeta>{fields}<xmp:CreateDate>{DATE}</xmp:CreateDate></x:xmpmeta>".encode()


def jpeg(number: int, rng: np.random.Generator) -> bytes:
    """EXIF, XMP, IPTC, ICC text and comments; some cut or damaged inside them."""
    image = seeds.picture(rng, 24, 20)
    data = seeds.pillow_file(image, "JPEG", exif=_exif(number), progressive=number % 3 == 0)
    extra = _segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + _xmp(number))
    iptc = b"".join(
        struct.pack(">BBBH", 0x1C, 2, code, len(text)) + text
        for code, text in ((80, name("byline", number)), (120, name("caption", number)))
    )
    extra += _segment(
        0xED, b"Photoshop 3.0\x008BIM\x04\x04\0\0" + struct.pack(">I", len(iptc)) + iptc
    )
    extra += _segment(0xE2, b"ICC_PROFILE\0\1\1" + name("icc", number) * 4)
    for comment in range(8):
        extra += _segment(0xFE, name(f"comment{comment}", number))
    data = data[:2] + extra + data[2:]
    at = data.index(NAME.encode() + b"-comment3")
    kind = number % 10
    if kind == 1:
        return data[: at + 10]
    if kind == 3:
        return data[:-20]
    if kind == 5:  # the comment claims to be longer
        return data[: at - 2] + b"\x7f\xff" + data[at:]
    if kind == 7:  # garbage between segments, and a name in the coded data
        return data[: at - 4] + name("stray", number) + data[at - 4 : -40] + b"\xff\xd9"
    if kind == 8:
        return data[:-60] + name("coded", number) + data[-20:]
    return data


def png(number: int, rng: np.random.Generator) -> bytes:
    """tEXt, zTXt, iTXt, a named colour profile and EXIF; some damaged inside them."""
    chunks = seeds.png_chunks(seeds.pillow_file(seeds.picture(rng, 24, 20), "PNG"))
    texts = []
    for field in range(12):
        texts.append((b"tEXt", b"Author\0" + name(f"text{field}", number)))
        texts.append(
            (b"zTXt", name(f"key{field}", number) + b"\0\0" + zlib.compress(NAME.encode()))
        )
        texts.append((b"iTXt", b"XML\0\0\0en\0\0" + name(f"itxt{field}", number)))
    texts.append((b"iCCP", NAME.encode() + b"\0\0" + zlib.compress(rng.bytes(400))))
    texts.append((b"eXIf", _exif(number).removeprefix(b"Exif\0\0")))
    texts.append((b"sPLT", NAME.encode() + b"\0\x08abc"))
    texts.append((b"tIME", NAME.encode()))
    if number % 10 == 1:  # a chunk that claims to be text and is not
        texts.append((b"zTXt", NAME.encode() + b"\0\0" + NAME.encode() * 3))
    data = seeds.png_file([chunks[0], *texts, *chunks[1:]])
    at = data.index(NAME.encode() + b"-text3")
    kind = number % 10
    if kind == 3:
        return data[: at + 10]
    if kind == 5:  # wrong CRC of a text
        return data[:at] + b"z" + data[at + 1 :]
    if kind == 7:  # a text that claims to be longer than the file
        start = at - len(b"Author\0") - 8
        return data[:start] + struct.pack(">I", 2**30) + data[start + 4 :]
    if kind == 9:  # the pixels are a name
        return seeds.png_file([chunks[0], *texts, (b"IDAT", name("idat", number)), (b"IEND", b"")])
    return data


def impostors() -> dict[str, bytes]:
    """Text that says whose it is, under the names of images."""
    text = f"{NAME}: born {DATE}, record {NUMBER}\n"
    return {
        "note.png": text.encode(),
        "note.jpg": f"Patient {text}".encode("utf-16"),
        "latin.jpg": f"{NAME}, M\xfcller, {text}".encode("latin-1"),
        "page.dcm": f"<html><body>{text}</body></html>".encode(),
        "list.png": f"{NAME};{DATE};{NUMBER}\n".encode() * 50,
        "short.jpg": NAME.encode(),
        "binary.dcm": NAME.encode() + b"\0\1\2\xff" + NUMBER.encode(),
        "jpeg-then-text.jpg": b"\xff\xd8\xff\xfe\x00\x20" + text.encode(),
    }


# -- the collection -----------------------------------------------------------------------------


def write_collection(root: Path, *, dicom_count: int = 200, image_count: int = 100) -> int:
    """Fill `root` with class folders of patient folders; returns how many files there are."""
    rng = np.random.default_rng(20)
    files: list[tuple[str, bytes]] = []
    files += [(f"{number}.dcm", dicom(number, rng)) for number in range(dicom_count)]
    for number in range(image_count):
        made = png(number // 2, rng) if number % 2 else jpeg(number // 2, rng)
        files.append((f"{number}.{'png' if number % 2 else 'jpg'}", made))
    files += list(impostors().items())
    for number, (file, data) in enumerate(files):
        folder = root / CLASSES[number % 2] / f"{NAME} M\xfcller {NUMBER} {number % 37}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{DATE}_{NAME}_{file}").write_bytes(data)
    return len(files)


def write_table(root: Path) -> Path:
    """A table over the collection, with a column of patients."""
    lines = ["path,label,patient_id,name"]
    for path in sorted(root.rglob("*.*")):
        relative = path.relative_to(root)
        patient = relative.parts[1]
        lines.append(f"{relative},{relative.parts[0]},{patient},{NAME}")
    table = root / f"{NAME}.csv"
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return table


def decodes(data: bytes) -> bool:
    """True when Pillow reads it: some of the collection must be healthy."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
    except Exception:
        return False
    return True
