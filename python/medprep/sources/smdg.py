"""Layout `smdg`: the SMDG-19 glaucoma collection, with patients as far as its sources name them.

The table says `/full-fundus/X.png`, the archive has `full-fundus/full-fundus/X.png`: both are
tried. Suspects (`types` -1) are left out unless `--unlabelled suspect` keeps them unlabelled.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from medprep.errors import SourceError
from medprep.sources.attributes import age_years, known, sex_code
from medprep.sources.listing import Listing, PathGuard, printable
from medprep.sources.options import SourceOptions
from medprep.sources.places import files_in, find_home, join
from medprep.sources.rows import header_of, read_records
from medprep.types import Failure, SourceItem

NAME = "smdg"
TABLES = ("metadata - standardized.csv", "metadata.csv")
CLASSES = ("non-glaucoma", "glaucoma")
SUSPECT = "suspect"
FUNDUS = "full-fundus"
_NEEDED = ("names", "types", "fundus")
_CLASS_OF = {"0": CLASSES[0], "1": CLASSES[1], "-1": SUSPECT}
_SOURCE = re.compile(r"(.+?)-\d+", re.ASCII)
_ODIR = re.compile(r"(\d+)_(?:left|right)\.\w+", re.ASCII | re.IGNORECASE)
_CRFO = re.compile(r"(\w+-P_\d+)-(?:Left|Right) Eye.*", re.ASCII | re.IGNORECASE)
# `IM000504 (2).JPG` may be another eye, visit or person: together they cannot leak.
_BEH = re.compile(r"(IM\d+)n?(?:_[LR])?(?: \(\d+\))?\.\w+", re.ASCII | re.IGNORECASE)
# 1,020 images of 432 patients, and nothing says which: only as a whole they cannot leak.
_WHOLE = frozenset({"G1020"})


def matches(src: Path) -> str | None:
    """The metadata table, with its columns `names`, `types` and `fundus` or under its own name."""
    found = _find(src)
    return found[1] if found else None


def list_source(src: Path, options: SourceOptions) -> Listing:
    """One item per row with a fundus image. Raises UsageError when the table is missing."""
    options.refuse_columns(NAME)
    options.check_unlabelled([*CLASSES, SUSPECT])
    found = _find(src)
    if found is None:
        raise SourceError(
            f"{src}: no {TABLES[0]!r} or {TABLES[1]!r} with columns {', '.join(_NEEDED)}",
            hint="name the folder that holds the table as SRC",
        )
    home, table = found
    listing = Listing(layout=NAME, root=src, items=[], classes=CLASSES, patients=True)
    guard = PathGuard(src)
    counts: Counter[str] = Counter()
    items: dict[str, SourceItem] = {}
    for _, row in read_records(src / home / table, _NEEDED):
        class_name = _CLASS_OF.get(row["types"])
        if not row["fundus"]:
            counts["pictureless"] += 1
        elif class_name == SUSPECT and options.unlabelled != SUSPECT:
            counts[SUSPECT] += 1
        else:
            path = _resolve(src, home, row["fundus"])
            failure = guard.refuse(path) or _problem(row, path, class_name, path in items)
            if failure is not None:
                listing.failures.append(failure)
                continue
            group = patient_of(row["names"], row) if options.groups else None
            items[path] = _item(path, row, options.label(class_name), group)
    listing.items = [items[path] for path in sorted(items)]
    _note(listing, counts, options)
    return listing


def source_of(name: str) -> str:
    """The collection that an SMDG name comes from: `BEH-12` -> `BEH`."""
    found = _SOURCE.fullmatch(name)
    return found[1] if found else name


def patient_of(name: str, row: Mapping[str, str]) -> str | None:
    """Whom an image shows, as far as its source says it; None when it does not.

    PAPILA has patient_id; ODIR, CRFO and BEH (Bangladesh Eye Hospital) name both eyes of a person
    by one number; G1020 hides its patients, so all of it is one group.
    """
    source = source_of(name)
    if source in _WHOLE:
        return source
    if row.get("patient_id"):
        return f"{source}:{row['patient_id']}"
    pattern = _pattern(source)
    found = pattern.fullmatch(row.get("original_name", "")) if pattern else None
    # The three parts of ODIR number their patients together.
    return f"{'ODIR' if pattern is _ODIR else source}:{found[1]}" if found else None


def _pattern(source: str) -> re.Pattern[str] | None:
    if source.startswith("OIA-ODIR"):
        return _ODIR
    return {"CRFO-v4": _CRFO, "BEH": _BEH}.get(source)


def _find(src: Path) -> tuple[str, str] | None:
    """(folder in SRC, name of the table), or None."""

    def tables(folder: Path) -> list[str]:
        there = [name for name in TABLES if name in files_in(folder, ".csv")]
        whole = [n for n in there if set(_NEEDED) <= set(header_of(folder / n))]
        # Nothing else has the first name: a table that lacks a column must be told of, not be
        # taken for a folder of pictures, where its patients are no patients.
        return whole or [n for n in there if n == TABLES[0]]

    home = find_home(src, lambda folder: bool(tables(folder)))
    return None if home is None else (home, tables(src / home)[0])


def _resolve(src: Path, home: str, told: str) -> str:
    """The path in SRC: as told without its slash, or with the first folder doubled."""
    path = join(home, told.removeprefix("/"))
    top, slash, rest = told.removeprefix("/").partition("/")
    if "\0" in told or ".." in told or not slash or len(told) > 4096:
        return path
    doubled = join(home, top, top, rest)
    try:
        if not (src / path).is_file() and (src / doubled).is_file():
            return doubled
    except OSError:  # a name that the file system does not take; the guard says so
        return path
    return path


def _problem(
    row: Mapping[str, str], path: str, class_name: str | None, is_twice: bool
) -> Failure | None:
    if class_name is None:
        return Failure(printable(path), "plan", "types must be 0, 1 or -1")
    if is_twice:
        return Failure(printable(path), "plan", "listed twice in the table")
    return None


def _item(
    path: str, row: Mapping[str, str], class_name: str | None, group: str | None
) -> SourceItem:
    # `gender` 0/1 and `sex` F/M are different columns; what 0 means is not told, so only sex.
    attributes = known(sex=sex_code(row.get("sex", "")), age=age_years(row.get("age", "")))
    return SourceItem(path=path, class_name=class_name, group=group, attributes=attributes)


def _note(listing: Listing, counts: Counter[str], options: SourceOptions) -> None:
    if counts[SUSPECT]:
        listing.note(
            f"left out {counts[SUSPECT]} glaucoma suspects (types -1); "
            f"--unlabelled {SUSPECT} keeps them without a label"
        )
    if counts["pictureless"]:
        listing.note(f"left out {counts['pictureless']} rows without a fundus image")
    if not options.groups:
        return
    sources = Counter(source_of(Path(item.path).stem) for item in listing.items)
    named = [item for item in listing.items if item.group is not None]
    listing.note(
        f"{len(named)} images of {len({item.group for item in named})} groups; "
        f"{len(listing.items) - len(named)} come from sources that do not name their patients"
    )
    for source in sorted(_WHOLE & sources.keys()):
        listing.note(
            f"the {sources[source]} images of {source} stay in one split: "
            "several show the same patient and nothing says which"
        )
