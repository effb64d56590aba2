"""Layout `pmc-oa`: figures and captions as JSON lines, grouped by the article they come from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from medprep.errors import SourceError, UsageError
from medprep.sources.listing import Listing, PathGuard, printable
from medprep.sources.options import SourceOptions
from medprep.sources.places import files_in, find_home, join
from medprep.types import SPLIT_ALIASES, Failure, SourceItem

NAME = "pmc-oa"
SUFFIX = ".jsonl"
FIGURES = "caption_T060_filtered_top4_sep_v0_subfigures"
# As the archives unpack: beside the table, in images/, or in the folder inside either.
IMAGE_FOLDERS = ("", "images", f"images/{FIGURES}", FIGURES)
PREFERRED = ("pmc_oa.jsonl", "pmc_oa_beta.jsonl")
TINY_CAPTION = 10  # characters; shorter ones say nothing ("A", "(b)")
_PMCID = re.compile(r"(PMC\d+)(?:[_.].*)?", re.ASCII)
_MAX_LINE = 2**20  # bytes; captions have a few thousand characters at most
_LOOKED_AT = 20


def matches(src: Path) -> str | None:
    """A .jsonl file whose first lines have `image` and `caption`."""
    return "JSON lines with image and caption" if _tables(src) else None


def list_source(src: Path, options: SourceOptions) -> Listing:
    """One item per image with its caption; images listed twice with other captions are refused.

    Raises UsageError when there is no such table.
    """
    options.refuse_unlabelled(NAME)
    root = src.parent if src.is_file() else src
    tables = _tables(src)
    if not tables:
        raise SourceError(f"{src}: no {SUFFIX} whose lines have 'image' and 'caption'")
    listing = Listing(layout=NAME, root=root, items=[])
    items: dict[str, SourceItem] = {}
    refused: dict[str, Failure] = {}
    for table in tables:
        _read_table(root, table, options, len(tables) > 1, items, refused)
    listing.items = [items[path] for path in sorted(items, key=printable) if path not in refused]
    listing.failures = [refused[path] for path in sorted(refused, key=printable)]
    _note(listing, src, tables, options)
    return listing


def _tables(src: Path) -> list[str]:
    """The tables to read, relative to the root: one, or those named train, valid and test."""
    if src.is_file():
        good = src.suffix.lower() == SUFFIX and _has_pairs(src)
        return [src.name] if good else []
    home = find_home(src, lambda folder: bool(_good_tables(folder)))
    if home is None:
        return []
    names = _good_tables(src / home)
    preferred = [name for name in PREFERRED if name in names]
    splits = [name for name in names if _split_of(name)]
    return [join(home, name) for name in (preferred[:1] or splits or names[:1])]


def _good_tables(folder: Path) -> list[str]:
    return [name for name in files_in(folder, SUFFIX) if _has_pairs(folder / name)]


def _has_pairs(table: Path) -> bool:
    """One of the first lines has both keys: a torn first line does not hide a table."""
    try:
        with table.open("rb") as stream:
            for _ in range(_LOOKED_AT):
                line = stream.readline(_MAX_LINE)
                if not line:
                    return False
                if _parse(line) is not None:
                    return True
    except OSError:
        return False
    return False


def _split_of(table: str) -> str | None:
    return SPLIT_ALIASES.get(Path(table).stem.lower())


def _read_table(
    root: Path,
    table: str,
    options: SourceOptions,
    several: bool,
    items: dict[str, SourceItem],
    refused: dict[str, Failure],
) -> None:
    guard = PathGuard(root)
    home = table.rpartition("/")[0]
    folders = [join(home, f) for f in IMAGE_FOLDERS if not f or (root / home / f).is_dir()]
    for number, record in _records(root / table):
        if record is None:
            where = f"{table}:{number}"
            reason = "not a JSON object with texts 'image' and 'caption'"
            refused[where] = Failure(where, "plan", reason)
            continue
        path, failure = _find(record["image"].removeprefix("./"), folders, guard)
        item = SourceItem(
            path=path,
            split=_split_of(table) if several else None,
            group=_group(record, options),
            caption=" ".join(record["caption"].split()) or None,
        )
        if failure is None and items.get(path, item) != item:
            failure = Failure(printable(path), "plan", "listed twice with different captions")
        if failure is not None:
            refused[path] = failure
        else:
            items[path] = item


def _records(table: Path) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """(line number, object) of every line that is not blank; None for a line that is no pair."""
    try:
        with table.open("rb") as stream:
            number = 0
            while line := stream.readline(_MAX_LINE):
                number += 1
                if len(line) == _MAX_LINE and not line.endswith(b"\n"):
                    while (rest := stream.readline(_MAX_LINE)) and not rest.endswith(b"\n"):
                        pass
                    yield number, None
                elif line.strip():
                    yield number, _parse(line)
    except OSError as error:
        raise UsageError(f"{table}: cannot read the table: {error.strerror}") from None


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict):
        return None
    pair = (record.get("image"), record.get("caption"))
    return record if all(isinstance(text, str) for text in pair) else None


def _find(image: str, folders: list[str], guard: PathGuard) -> tuple[str, Failure | None]:
    """The path of a figure in the first folder that has it, or why it cannot be read."""
    first = image
    failure = guard.refuse(image)
    for folder in folders:
        path = join(folder, image)
        found = guard.refuse(path)
        if found is None:
            return path, None
        if found.stage == "plan":  # not a path that may be looked up anywhere
            return first, found
        failure = found
    return first, failure


def _group(record: Mapping[str, Any], options: SourceOptions) -> str | None:
    """The article: `pmcid`, else the PMC number that the file name begins with."""
    if options.group_by == "none":
        return None
    if options.group_by != "auto":
        value = record.get(options.group_by)
        return printable(str(value)).strip() or None if isinstance(value, str | int) else None
    told = str(record.get("pmcid") or "")
    found = _PMCID.fullmatch(told) or _PMCID.fullmatch(record["image"].rsplit("/", 1)[-1])
    return found[1] if found else printable(told) or None


def _note(listing: Listing, src: Path, tables: list[str], options: SourceOptions) -> None:
    unused = [] if src.is_file() else files_in(src / Path(tables[0]).parent, SUFFIX)
    unused = [name for name in unused if name not in {Path(table).name for table in tables}]
    if unused:
        listing.note(f"left out {len(unused)} other {SUFFIX} files", unused[0])
    if options.groups:
        grouped = [item for item in listing.items if item.group is not None]
        what = "articles (PMCID)" if options.group_by == "auto" else f"values of {options.group_by}"
        listing.note(
            f"{len(grouped)} images of {len({i.group for i in grouped})} {what}; each in one split"
        )
        if len(grouped) < len(listing.items):
            listing.note(f"{len(listing.items) - len(grouped)} images name no article")
    tiny = sum(len(item.caption or "") < TINY_CAPTION for item in listing.items)
    if tiny:
        listing.note(f"{tiny} captions have fewer than {TINY_CAPTION} characters")
