"""Layout `ham10000`: HAM10000, and the ISIC challenges of 2018 to 2020, by their tables.

HAM10000: `HAM10000_metadata.csv` and two image folders, which Kaggle ships twice. ISIC 2018 and
2019: one-hot ground truth, metadata beside. ISIC 2020: one table with patients. Images are found
by their name in any folder; ISIC 2019 adds `_downsampled` to some.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from medprep.errors import SourceError
from medprep.sources.attributes import age_years, known, sex_code
from medprep.sources.listing import Listing, printable, subfolders
from medprep.sources.options import SourceOptions
from medprep.sources.places import ImageIndex, files_in, find_home, join
from medprep.sources.rows import header_of, read_records
from medprep.types import SPLIT_ALIASES, Failure, SourceItem

NAME = "ham10000"
HAM_TABLE = "HAM10000_metadata"  # .csv on Kaggle, .tab or bare on Dataverse
ONE_HOT = ("MEL", "NV", "BCC", "AK", "AKIEC", "BKL", "DF", "VASC", "SCC", "UNK")
_HAM, _ONE_HOT, _ISIC_2020 = "HAM10000", "ISIC 2018/2019", "ISIC 2020"
_SPLIT = re.compile(r"_(Training|Validation|Test)_", re.ASCII)
_HAM_COLUMNS = ("lesion_id", "image_id", "dx")
_TABLE_FOLDER = re.compile(r"_(?:GroundTruth|Metadata|LesionGroupings)", re.ASCII)
_ENDINGS = ("", "_downsampled")
_PICKABLE = re.compile(r"[A-Za-z0-9_\-]{1,200}", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Table:
    """One table with labels: where it is, of which kind, and the split its name says."""

    path: str
    kind: str
    split: str | None


@dataclass(slots=True)
class _Row:
    """What the tables say about one image."""

    class_name: str | None
    split: str | None
    group: str | None = None
    sex: str | None = None
    age: float | None = None
    problem: str | None = None


def matches(src: Path) -> str | None:
    """HAM10000_metadata, or a ground truth table of ISIC, in SRC or its lone folder."""
    home = _home(src)
    tables = _label_tables(src, home) if home is not None else []
    return f"the label table of {tables[0].kind}" if tables else None


def list_source(src: Path, options: SourceOptions) -> Listing:
    """One item per row with an image. Raises UsageError when there is no such table."""
    options.refuse_columns(NAME)
    home = _home(src)
    if home is None:
        raise SourceError(f"{src}: neither {HAM_TABLE}.csv nor an ISIC ground truth table")
    tables = _label_tables(src, home)
    rows: dict[str, _Row] = {}
    for table in tables:
        _read_labels(src, table, len(tables) > 1, rows)
    _read_metadata(src, home, rows)
    options.check_unlabelled(sorted({row.class_name for row in rows.values() if row.class_name}))
    listing = Listing(layout=NAME, root=src, items=[], patients=True)
    index = ImageIndex(src, [home])
    used = _list_rows(listing, index, rows, options)
    listing.items.sort(key=lambda item: item.path)
    _note(listing, index, rows, used, options)
    return listing


def _home(src: Path) -> str | None:
    return find_home(src, lambda folder: bool(_label_tables(folder, "")))


def _tables_of(src: Path, home: str) -> list[str]:
    """Tables in the home, and in the folders of their own that ISIC 2018 packs tables into."""
    own = [name for name in subfolders(src / home) if _TABLE_FOLDER.search(name)]
    folders = [home, *(join(home, name) for name in own)]
    found = [
        join(folder, name)
        for folder in folders
        for suffix in (".csv", ".tab")
        for name in files_in(src / folder, suffix)
    ]
    bare = join(home, HAM_TABLE)
    return [*found, bare] if (src / bare).is_file() else found


def _label_tables(src: Path, home: str) -> list[_Table]:
    found = []
    for path in _tables_of(src, home):
        kind = _kind(path, set(header_of(src / path)))
        split = _SPLIT.search(Path(path).name)
        if kind is not None:
            found.append(_Table(path, kind, SPLIT_ALIASES[split[1].lower()] if split else None))
    first = found[0].kind if found else None
    return [table for table in found if table.kind == first]


def _kind(path: str, header: set[str]) -> str | None:
    if Path(path).stem == HAM_TABLE:  # nothing else has this name: a lost column is told of
        return _HAM
    if "GroundTruth" in path and "image" in header and len(header.intersection(ONE_HOT)) > 1:
        return _ONE_HOT
    if {"image_name", "patient_id", "benign_malignant", "target"} <= header:
        return _ISIC_2020
    return None


def _read_labels(src: Path, table: _Table, several: bool, rows: dict[str, _Row]) -> None:
    split = table.split if several else None
    needed = _HAM_COLUMNS if table.kind == _HAM else ()
    for _, record in read_records(src / table.path, needed):
        image, row = _READERS[table.kind](record)
        row.split = split
        if image in rows and (rows[image].class_name, rows[image].split) != (row.class_name, split):
            row.problem = "listed twice with different label or split"
        rows[image] = row


def _ham_row(record: Mapping[str, str]) -> tuple[str, _Row]:
    group = record["lesion_id"] or None
    sex, age = sex_code(record.get("sex", "")), age_years(record.get("age", ""))
    return record["image_id"], _Row(record["dx"] or None, None, group, sex, age)


def _one_hot_row(record: Mapping[str, str]) -> tuple[str, _Row]:
    """The class whose column is 1 (score weights and the like are other columns)."""
    ones = [name for name in ONE_HOT if record.get(name, "") in ("1", "1.0")]
    problem = None if len(ones) == 1 else "not exactly one class is 1"
    return record["image"], _Row(ones[0] if len(ones) == 1 else None, None, problem=problem)


def _isic_2020_row(record: Mapping[str, str]) -> tuple[str, _Row]:
    group = record["patient_id"] or None
    sex, age = sex_code(record.get("sex", "")), age_years(record.get("age_approx", ""))
    return record["image_name"], _Row(record["benign_malignant"] or None, None, group, sex, age)


_READERS = {_HAM: _ham_row, _ONE_HOT: _one_hot_row, _ISIC_2020: _isic_2020_row}


def _read_metadata(src: Path, home: str, rows: Mapping[str, _Row]) -> None:
    """Lesion, sex and age from the tables beside the one-hot ground truth."""
    for path in _tables_of(src, home):
        header = set(header_of(src / path))
        if "image" not in header or not header & {"lesion_id", "sex", "age_approx"}:
            continue
        for _, record in read_records(src / path, ()):
            row = rows.get(record["image"])
            if row is not None:
                row.group = row.group or record.get("lesion_id") or None
                row.sex = row.sex or sex_code(record.get("sex", ""))
                age = age_years(record.get("age_approx", ""))
                row.age = row.age if row.age is not None else age


def _list_rows(
    listing: Listing, index: ImageIndex, rows: Mapping[str, _Row], options: SourceOptions
) -> int:
    """Fill the listing; returns how many image files the rows name, second copies included."""
    used = 0
    for image, row in rows.items():
        paths = [path for end in _ENDINGS for path in index.by_stem.get(image + end, ())]
        used += len(paths)
        failure = _failure(image, row, paths, index)
        if failure is not None:
            listing.failures.append(failure)
            continue
        listing.items.append(
            SourceItem(
                path=paths[0],
                class_name=options.label(row.class_name),
                split=row.split,
                group=row.group if options.groups else None,
                attributes=known(sex=row.sex, age=row.age),
            )
        )
    return used


def _failure(image: str, row: _Row, paths: list[str], index: ImageIndex) -> Failure | None:
    if not _PICKABLE.fullmatch(image):
        return Failure(printable(image), "plan", "not the name of an image")
    if not paths:
        return Failure(printable(image), "read", "no image of this name in any folder")
    if row.problem is not None:
        return Failure(printable(paths[0]), "plan", row.problem)
    return index.paths[paths[0]]


def _note(
    listing: Listing,
    index: ImageIndex,
    rows: Mapping[str, _Row],
    used: int,
    options: SourceOptions,
) -> None:
    second = used - sum(any(image + end in index.by_stem for end in _ENDINGS) for image in rows)
    if second > 0:
        listing.note(f"left out {second} second copies of images (folders shipped twice)")
    if len(index.paths) > used:
        listing.note(f"left out {len(index.paths) - used} images that no row names")
    if not options.groups:
        return
    grouped = [item for item in listing.items if item.group is not None]
    listing.note(
        f"{len(grouped)} images of {len({item.group for item in grouped})} lesions or patients; "
        "each in one split"
    )
    if len(grouped) < len(listing.items):
        listing.note(f"{len(listing.items) - len(grouped)} images name neither")
