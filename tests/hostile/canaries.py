"""Marks that stand for a patient, and the search for them in whatever form they may leave in.

Every canary begins with a mark, so that looking for three marks finds all of them, also when a
message quotes no more than a beginning. Most end with it, too.
"""

from __future__ import annotations

import base64
import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

NAME = "Zqxwjvkq"  # in names, comments, paths
NUMBER = "77345190263"  # in UIDs and record numbers
DATE = "18730419"  # birth and study dates
MARKS = (NAME, NUMBER, DATE)
_SHORTEST = 6  # characters of a mark whose beginning alone is a find


def encodings(mark: str) -> dict[str, bytes]:
    """The mark in every form that is looked for, by the form's name."""
    plain = mark.encode()
    forms = {
        "raw": plain,
        "lower": mark.lower().encode(),
        "upper": mark.upper().encode(),
        "reversed": plain[::-1],
        "utf-16-le": mark.encode("utf-16-le"),
        "utf-16-be": mark.encode("utf-16-be"),
        "utf-32-le": mark.encode("utf-32-le"),
        "utf-32-be": mark.encode("utf-32-be"),
        "hex": plain.hex().encode(),
        "HEX": plain.hex().upper().encode(),
        "hex with spaces": plain.hex(" ").encode(),
        "url": "".join(f"%{byte:02x}" for byte in plain).encode(),
        "URL": "".join(f"%{byte:02X}" for byte in plain).encode(),
        "json": "".join(f"\\u{byte:04x}" for byte in plain).encode(),
        "html": "".join(f"&#{byte};" for byte in plain).encode(),
    }
    for start in range(3):
        for name, text in (("base64", plain), ("base64 of utf-16", mark.encode("utf-16-le"))):
            forms[f"{name}, alignment {start}"] = _base64_core(text, start)
    return forms


def _base64_core(text: bytes, start: int) -> bytes:
    """What base64 makes of the text when `start` bytes stand before it, without the edges."""
    packed = base64.b64encode(bytes(start) + text + bytes(3)).rstrip(b"=")
    return packed[-(-start * 4 // 3) : (start + len(text)) * 4 // 3]


_FORMS = {form: (mark, name) for mark in MARKS for name, form in encodings(mark).items()}
_SEARCH = re.compile(b"|".join(re.escape(form) for form in sorted(_FORMS, key=len, reverse=True)))
_BEGINNINGS = re.compile(
    b"|".join(mark[:_SHORTEST].encode() for mark in (NAME, NUMBER))
    + b"|"
    + b"|".join(mark[:_SHORTEST].encode().hex(" ").encode() for mark in (NAME, NUMBER)),
)


def find(data: bytes) -> list[str]:
    """Names of the forms in which a mark stands in the bytes themselves."""
    found = {f"{_FORMS[hit]}" for hit in _SEARCH.findall(data)}
    if not found:
        found = {f"the beginning {hit!r}" for hit in _BEGINNINGS.findall(data)}
    return sorted(found)


def search_bytes(name: str, data: bytes) -> Iterator[str]:
    """Finds in the bytes, in the members of an archive, in what is compressed."""
    for hit in (*find(name.encode()), *find(data)):
        yield f"{name}: {hit}"
    if data.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.namelist():
                yield from search_bytes(f"{name}/{member}", archive.read(member))
    if data.startswith(b"\x1f\x8b"):
        yield from search_bytes(f"{name} (gzip)", gzip.decompress(data))
    for number, embedded in enumerate(re.findall(rb"base64,([A-Za-z0-9+/=]{64,})", data)):
        yield from search_bytes(f"{name} (embedded {number})", base64.b64decode(embedded))
    if data.startswith(b"\x89PNG"):
        yield from _search_png(name, data)


def _search_png(name: str, data: bytes) -> Iterator[str]:
    at = 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        if kind in (b"zTXt", b"iCCP"):
            packed = body[body.index(b"\0") + 2 :]
            yield from search_bytes(f"{name} ({kind.decode()})", zlib.decompress(packed))
        at += 12 + length


def search(folders: Iterable[Path]) -> list[str]:
    """Every find in files and names below the folders."""
    hits = []
    for folder in folders:
        for path in (folder, *sorted(folder.rglob("*"))):
            name = str(path.relative_to(folder.parent))
            if path.is_symlink() or not path.is_file():
                hits += [f"{name}: {hit}" for hit in find(name.encode())]
            else:
                hits += search_bytes(name, path.read_bytes())
    return hits
