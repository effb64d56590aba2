"""Layout `table`: a CSV, TSV or Parquet table with one row per image or per box.

SRC is the table itself or a folder with exactly one such table; paths are relative to its folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from medprep.errors import SourceError, UsageError
from medprep.sources.attributes import age_years, known, sex_code, view_code
from medprep.sources.box_columns import find_box_columns, parse_box
from medprep.sources.listing import Listing, PathGuard, list_folder, printable
from medprep.sources.options import SourceOptions
from medprep.sources.rows import TABLE_SUFFIXES, read_rows
from medprep.types import SPLIT_ALIASES, Box, Failure, SourceItem

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
    "caption": ("caption", "captions"),
    "box_label": ("box_label", "box_class", "box_name"),
    "sex": ("sex", "gender"),
    "age": ("age", "age_years", "patient_age", "age_approx"),
    "view": ("view", "view_position", "viewposition"),
}
"""Accepted names by meaning, best first; case, spaces and hyphens do not matter."""


@dataclass(frozen=True, slots=True)
class _Columns:
    """Positions in a row; None for a column that the table does not have."""

    path: int
    label: int | None
    split: int | None
    group: int | None
    caption: int | None
    box_label: int | None
    sex: int | None
    age: int | None
    view: int | None
    box: tuple[int, int, int, int] | None
    box_is_size: bool


def matches(src: Path) -> str | None:
    """A table file, or a folder with a table whose header and first path make sense."""
    if src.is_file():
        return "its suffix" if src.suffix.lower() in TABLE_SUFFIXES else None
    return "a table whose first path names a file" if src.is_dir() and _tables_in(src) else None


def list_source(src: Path, options: SourceOptions) -> Listing:
    """One item per path; rows of the same path that differ in their box only add boxes to it.

    Rows whose path leaves SRC, is missing, or is listed twice with different labels, and boxes
    that are none, become failures. Raises UsageError when the table cannot be found or read, or
    lacks a column.
    """
    table = _find_table(src)
    root = table.parent
    rows = read_rows(table)
    header = next(rows, [])
    columns = _find_columns(header, table, options.group_by)
    listing = Listing(layout=NAME, root=root, items=[])
    collected = _Collected(columns)
    for number, row in enumerate(rows, start=2):
        collected.add(row, f"{table}, row {number}", options.unlabelled)
    guard = PathGuard(root)
    listing.box_classes = collected.box_classes()
    for path in sorted(collected.items, key=printable):
        failure = collected.failures.get(path) or guard.refuse(path)
        if failure is None:
            listing.items.append(collected.finished(path))
        else:
            listing.failures.append(failure)
    _check_unlabelled(options.unlabelled, collected.items.values())
    if columns.group is not None and not listing.has_splits:
        listing.note(f"samples with the same {header[columns.group]!r} stay in one split")
    return listing


class _Collected:
    """The rows of a table by path: one item each, its boxes, and what is wrong with it."""

    def __init__(self, columns: _Columns) -> None:
        self._columns = columns
        self._boxes: dict[str, dict[tuple[Box, str], None]] = {}  # ordered, without repetition
        self.items: dict[str, SourceItem] = {}
        self.failures: dict[str, Failure] = {}

    def add(self, row: Sequence[str], where: str, unlabelled: str | None) -> None:
        """Take one row. Raises UsageError when it is too short or its split is no name."""
        item = _item(row, self._columns, where, unlabelled)
        if item is None:
            return
        if self.items.setdefault(item.path, item) != item:
            self._fail(
                item.path, "listed twice in the table with different label, split, group or caption"
            )
        if self._columns.box is None:
            return
        try:
            fields = [row[at] for at in self._columns.box]
            box = parse_box(fields, is_size=self._columns.box_is_size)
        except (ValueError, IndexError) as error:
            reason = "a row lacks its box" if isinstance(error, IndexError) else str(error)
            self._fail(item.path, reason)
            return
        boxes = self._boxes.setdefault(item.path, {})
        if box is not None:
            boxes[box, _box_name(row, self._columns)] = None

    def _fail(self, path: str, reason: str) -> None:
        self.failures[path] = Failure(printable(path), "plan", reason)

    def box_classes(self) -> tuple[str, ...]:
        """Names of the box labels in label order: by name."""
        if self._columns.box is None:
            return ()
        names = {name for boxes in self._boxes.values() for _, name in boxes}
        return tuple(sorted(names)) or ("box",)

    def finished(self, path: str) -> SourceItem:
        """The item with its boxes; None for boxes where the table has no columns for them."""
        if self._columns.box is None:
            return self.items[path]
        place = {name: label for label, name in enumerate(self.box_classes())}
        boxes = (box._replace(label=place[name]) for box, name in self._boxes.get(path, {}))
        return replace(self.items[path], boxes=tuple(boxes))


def _tables_in(folder: Path) -> list[Path]:
    return [
        folder / entry.name
        for entry in list_folder(folder)
        if Path(entry.name).suffix.lower() in TABLE_SUFFIXES
        and entry.is_file()
        and _makes_sense(folder / entry.name)
    ]


def _makes_sense(table: Path) -> bool:
    """The columns are there and the first path names a file."""
    try:
        rows = read_rows(table)
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
        raise UsageError(f"{src}: several tables ({names})", hint="name the table itself as SRC")
    raise SourceError(
        f"{src}: no CSV with a path and a label column whose first path names a file",
        hint="name the CSV itself as SRC to see what is wrong with it",
    )


def _find_columns(header: Sequence[str], table: Path, group_by: str) -> _Columns:
    names = [_normal(name) for name in header]

    def position(meaning: str) -> int | None:
        known_names = (name for name in COLUMNS[meaning] if name in names)
        return next((names.index(name) for name in known_names), None)

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
    box = find_box_columns(names)
    caption = position("caption")
    path = needed("path")
    return _Columns(
        path=path,
        # captions or boxes are what such tables are for; without them it is a forgotten label
        label=position("label") if box or caption is not None else needed("label"),
        split=position("split"),
        group=group,
        caption=caption,
        box_label=position("box_label"),
        sex=position("sex"),
        age=position("age"),
        view=position("view"),
        box=box[0] if box else None,
        box_is_size=bool(box and box[1]),
    )


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
        caption=field(columns.caption),
        attributes=known(
            view=view_code(field(columns.view)),
            sex=sex_code(field(columns.sex)),
            age=age_years(field(columns.age)),
        ),
    )


def _box_name(row: Sequence[str], columns: _Columns) -> str:
    at = columns.box_label
    return (row[at].strip() if at is not None and at < len(row) else "") or "box"


def _split_name(name: str, where: str) -> str:
    lower = name.lower()
    known_name = SPLIT_ALIASES.get(lower, lower)
    if not (known_name.isascii() and known_name.replace("_", "a").isalnum()):
        raise UsageError(f"{where}: split {name!r} must be letters, digits and '_'")
    return known_name


def _check_unlabelled(unlabelled: str | None, items: Iterable[SourceItem]) -> None:
    if unlabelled is not None and all(item.class_name is not None for item in items):
        raise UsageError(f"--unlabelled {unlabelled}: no row of the table has that label")
