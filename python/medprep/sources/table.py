"""Layout `table`: a CSV with a path and a label column, perhaps a split and a group column.

SRC is the CSV itself or a folder with exactly one such CSV; paths are relative to its folder.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from medprep.errors import UsageError
from medprep.sources.listing import Listing, PathGuard, list_folder, printable
from medprep.sources.options import SourceOptions
from medprep.types import SPLIT_ALIASES, Failure, SourceItem

NAME = "table"
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "path": (
        *("path", "image", "filename", "file", "file_name", "filepath", "file_path"),
        *("image_path", "image_file", "image_name", "img", "img_path"),
    ),
    "label": ("label", "class", "class_name", "target", "diagnosis", "dx", "category"),
    "split": ("split", "subset", "partition", "set"),
    "group": (
        *("group", "patient_id", "patient", "patientid", "subject_id", "subject", "group_id"),
        *("case_id", "lesion_id"),
    ),
}
"""Accepted names by meaning, best first; case, spaces and hyphens do not matter."""
_SUFFIXES = (".csv", ".tsv")
_MAX_FIELD = 2**16  # characters; a longer one is a stray quote, not a path or label


@dataclass(frozen=True, slots=True)
class _Columns:
    """Positions in a row; None for a column that the table does not have."""

    path: int
    label: int
    split: int | None
    group: int | None


def matches(src: Path) -> bool:
    """True for a CSV file, and for a folder with a CSV whose header and first path make sense."""
    if src.is_file():
        return src.suffix.lower() in _SUFFIXES
    return src.is_dir() and bool(_tables_in(src))


def list_source(src: Path, options: SourceOptions) -> Listing:
    """One item per row.

    Rows whose path leaves SRC, is missing, or is listed twice with different labels become
    failures. Raises UsageError when the table cannot be found or read, or lacks a column.
    """
    table = _find_table(src)
    root = table.parent
    rows = _read_rows(table)
    header = next(rows, [])
    columns = _find_columns(header, table, options.group_by)
    listing = Listing(layout=NAME, root=root, items=[])
    guard = PathGuard(root)
    items: dict[str, SourceItem] = {}
    conflicts: dict[str, Failure] = {}
    for number, row in enumerate(rows, start=2):
        item = _item(row, columns, f"{table}, row {number}", options.unlabelled)
        if item is None:
            continue
        first = items.setdefault(item.path, item)
        if first != item:
            reason = "listed twice in the table with different label, split or group"
            conflicts[item.path] = Failure(printable(item.path), "plan", reason)
    for path in sorted(items, key=printable):
        failure = conflicts.get(path) or guard.refuse(path)
        if failure is None:
            listing.items.append(items[path])
        else:
            listing.failures.append(failure)
    _check_unlabelled(options.unlabelled, items.values())
    if not listing.has_splits:
        _note_group(listing, header, columns)
    return listing


def _tables_in(folder: Path) -> list[Path]:
    return [
        folder / entry.name
        for entry in list_folder(folder)
        if Path(entry.name).suffix.lower() in _SUFFIXES
        and entry.is_file()
        and _makes_sense(folder / entry.name)
    ]


def _makes_sense(table: Path) -> bool:
    """The columns are there and the first path names a file."""
    try:
        rows = _read_rows(table)
        columns = _find_columns(next(rows, []), table, "none")
        first = next(rows, [])
        return len(first) > columns.path and (table.parent / first[columns.path]).is_file()
    except (UsageError, OSError, ValueError):
        return False


def _find_table(src: Path) -> Path:
    if src.is_file():
        return src
    tables = _tables_in(src)
    if len(tables) == 1:
        return tables[0]
    if tables:
        names = ", ".join(table.name for table in tables)
        raise UsageError(f"{src}: several tables ({names})", hint="name the CSV itself as SRC")
    raise UsageError(
        f"{src}: no CSV with a path and a label column whose first path names a file",
        hint="name the CSV itself as SRC to see what is wrong with it",
    )


def _read_rows(table: Path) -> Iterator[list[str]]:
    """The rows, header first; the separator is the one that the header uses most."""
    csv.field_size_limit(_MAX_FIELD)
    try:
        with table.open(encoding="utf-8-sig", newline="") as stream:
            head = stream.readline(_MAX_FIELD)
            stream.seek(0)
            delimiter = max((",", ";", "\t"), key=head.count)
            yield from csv.reader(stream, delimiter=delimiter)
    except OSError as error:
        raise UsageError(f"{table}: cannot read the table: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{table}: not UTF-8 text", hint="save the table as UTF-8") from None
    except csv.Error as error:
        raise UsageError(f"{table}: not a valid CSV: {error}") from None


def _find_columns(header: Sequence[str], table: Path, group_by: str) -> _Columns:
    names = [_normal(name) for name in header]

    def position(meaning: str) -> int | None:
        known = (name for name in COLUMNS[meaning] if name in names)
        return next((names.index(name) for name in known), None)

    def needed(meaning: str) -> int:
        at = position(meaning)
        if at is None:
            raise UsageError(
                f"{table}: no {meaning} column; found {', '.join(header) or 'an empty header'}",
                hint=f"name it {meaning!r} (also known: {', '.join(COLUMNS[meaning][1:4])}, ...)",
            )
        return at

    if group_by == "auto":
        group = position("group")
    elif group_by == "none":
        group = None
    else:
        group = _named_column(header, group_by, table)
    return _Columns(needed("path"), needed("label"), position("split"), group)


def _named_column(header: Sequence[str], name: str, table: Path) -> int:
    for candidates, wanted in ((list(header), name), ([_normal(h) for h in header], _normal(name))):
        if wanted in candidates:
            return candidates.index(wanted)
    close = get_close_matches(name, header, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"columns: {', '.join(header)}"
    raise UsageError(f"--group-by {name}: {table} has no such column", hint=hint)


def _normal(name: str) -> str:
    return name.strip().lower().replace(" ", "_").replace("-", "_")


def _item(
    row: Sequence[str], columns: _Columns, where: str, unlabelled: str | None
) -> SourceItem | None:
    if not any(field.strip() for field in row):
        return None

    def field(at: int | None) -> str | None:
        if at is None:
            return None
        if at >= len(row):
            raise UsageError(f"{where}: {len(row)} fields, but column {at + 1} is needed")
        return row[at].strip() or None

    label = field(columns.label)
    split = field(columns.split)
    return SourceItem(
        path=(field(columns.path) or "").removeprefix("./"),
        class_name=None if label == unlabelled else label,
        split=None if split is None else _split_name(split, where),
        group=field(columns.group),
    )


def _split_name(name: str, where: str) -> str:
    lower = name.lower()
    known = SPLIT_ALIASES.get(lower, lower)
    if not (known.isascii() and known.replace("_", "a").isalnum()):
        raise UsageError(f"{where}: split {name!r} must be letters, digits and '_'")
    return known


def _check_unlabelled(unlabelled: str | None, items: Iterable[SourceItem]) -> None:
    if unlabelled is not None and all(item.class_name is not None for item in items):
        raise UsageError(f"--unlabelled {unlabelled}: no row of the table has that label")


def _note_group(listing: Listing, header: Sequence[str], columns: _Columns) -> None:
    if columns.group is not None:
        listing.notes.append(f"samples with the same {header[columns.group]!r} stay in one split")
