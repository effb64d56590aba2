"""Layout `coco`: detection annotations as COCO JSON, as COCO itself or Roboflow packs them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medprep.errors import SourceError, UsageError
from medprep.sources.box_columns import parse_box
from medprep.sources.listing import Listing, PathGuard, printable
from medprep.sources.options import SourceOptions
from medprep.sources.places import files_in, find_home, join
from medprep.types import SPLIT_ALIASES, Box, Failure, SourceItem

NAME = "coco"
_FOLDERS = ("", "annotations", *SPLIT_ALIASES)
_SPLIT = re.compile(
    rf"(?:.*[_/])?({'|'.join(SPLIT_ALIASES)})(?:\d{{4}})?(?:[_/].*)?", re.IGNORECASE
)
_KEYS = (b'"images"', b'"annotations"', b'"categories"', b'"info"', b'"licenses"')
_HEAD = 4096
_MAX_BYTES = 2**30  # the instances of COCO 2017 have 450 MB


@dataclass(frozen=True, slots=True)
class _Table:
    """An annotation file in SRC, the split its name says, and where its images may lie."""

    path: str
    split: str | None
    folders: tuple[str, ...]


def matches(src: Path) -> str | None:
    """JSON with images, annotations and categories, in SRC, annotations/ or a split folder."""
    return "JSON with images, annotations and categories" if _tables(src) else None


def list_source(src: Path, options: SourceOptions) -> Listing:
    """One item per image with its boxes; the categories are the classes of boxes, not of images.

    Raises UsageError when there is no such file or it is no COCO JSON.
    """
    options.refuse_columns(NAME)
    options.refuse_unlabelled(NAME)
    tables = _tables(src)
    if not tables:
        raise SourceError(f"{src}: no JSON with images, annotations and categories")
    root = src.parent if src.is_file() else src
    contents = [_load(root / table.path) for table in tables]
    listing = Listing(layout=NAME, root=root, items=[])
    listing.box_classes = _category_names(contents)
    guard = PathGuard(root)
    several = len({table.split for table in tables}) > 1
    seen: dict[str, SourceItem] = {}
    for table, content in zip(tables, contents, strict=True):
        reader = _Reader(content, listing.box_classes)
        for image in _objects(content, "images"):
            item, failure = reader.item(image, table, guard, table.split if several else None)
            if failure is None and seen.get(item.path, item) != item:
                failure = Failure(printable(item.path), "plan", "listed twice with different boxes")
            if failure is not None:
                listing.failures.append(failure)
                seen.pop(item.path, None)
            else:
                seen[item.path] = item
    refused = {failure.path for failure in listing.failures}
    listing.items = [seen[path] for path in sorted(seen) if printable(path) not in refused]
    _note(listing)
    return listing


class _Reader:
    """One annotation file: boxes and captions by image id."""

    def __init__(self, content: Mapping[str, Any], box_classes: Sequence[str]) -> None:
        place = {name: label for label, name in enumerate(box_classes)}
        self._labels = {
            c["id"]: place[_name(c)]
            for c in _objects(content, "categories")
            if isinstance(c.get("id"), int)
        }
        self._annotations: dict[object, list[Mapping[str, Any]]] = {}
        for annotation in _objects(content, "annotations"):
            key = annotation.get("image_id")
            if isinstance(key, int | str):
                self._annotations.setdefault(key, []).append(annotation)

    def item(
        self, image: Mapping[str, Any], table: _Table, guard: PathGuard, split: str | None
    ) -> tuple[SourceItem, Failure | None]:
        """The item of one entry of `images`, and why it cannot be used (or None)."""
        name = image.get("file_name")
        told = name.removeprefix("./") if isinstance(name, str) else ""
        path, failure = _find(told, table.folders, guard)
        key = image.get("id")
        annotations = self._annotations.get(key, []) if isinstance(key, int | str) else []
        try:
            boxes = tuple(self._box(a) for a in annotations if "bbox" in a)
        except ValueError as error:
            return SourceItem(path=path), Failure(printable(path), "plan", str(error))
        captions = [a["caption"] for a in annotations if isinstance(a.get("caption"), str)]
        caption = " ".join(captions[0].split()) if captions else None
        return SourceItem(path=path, split=split, boxes=boxes, caption=caption or None), failure

    def _box(self, annotation: Mapping[str, Any]) -> Box:
        bbox, label = annotation["bbox"], self._labels.get(annotation.get("category_id"))
        if not isinstance(bbox, list) or len(bbox) != 4:
            raise ValueError("a bbox must be four numbers")
        if label is None:
            raise ValueError("a box of no known category")
        box = parse_box([str(value) for value in bbox], is_size=True, label=label)
        if box is None:
            raise ValueError("a bbox must be four numbers")
        return box


def _tables(src: Path) -> list[_Table]:
    if src.is_file():
        good = src.suffix.lower() == ".json" and _looks_right(src)
        return [_Table(src.name, None, ("", "images"))] if good else []
    home = find_home(src, lambda folder: bool(_files(folder)))
    if home is None:
        return []
    found = [_table(home, name) for name in _files(src / home)]
    splits = [table for table in found if table.split is not None]
    return splits or found[:1]


def _files(home: Path) -> list[str]:
    names = [join(folder, name) for folder in _FOLDERS for name in files_in(home / folder, ".json")]
    good = [name for name in names if _looks_right(home / name)]
    # captions_val2017.json and person_keypoints_val2017.json list the same images once more
    instances = [name for name in good if Path(name).name.startswith("instances_")]
    return instances or good


def _table(home: str, name: str) -> _Table:
    split = _SPLIT.fullmatch(name.removesuffix(".json").lower())
    beside = name.rpartition("/")[0]
    own = Path(name).stem.removeprefix("instances_")  # instances_val2017.json: val2017/
    folders = (beside, join(beside, "images"), own, f"images/{own}", "images", "")
    return _Table(
        join(home, name),
        SPLIT_ALIASES[split[1]] if split else None,
        tuple(dict.fromkeys(join(home, folder) for folder in folders)),
    )


def _looks_right(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            head = stream.read(_HEAD)
            size = stream.seek(0, 2)
            stream.seek(max(0, size - _HEAD))
            tail = stream.read(_HEAD)
    except OSError:
        return False
    found = sum(key in head or key in tail for key in _KEYS)
    return head.lstrip()[:1] == b"{" and found >= 2


def _load(file: Path) -> Mapping[str, Any]:
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise UsageError(f"{file}: more than {_MAX_BYTES >> 20} MiB of JSON")
        content = json.loads(file.read_bytes())
    except OSError as error:
        raise UsageError(f"{file}: cannot read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise UsageError(f"{file}: not valid JSON") from None
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        raise UsageError(f"{file}: expected an object with the list 'images'")
    return content


def _objects(content: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    entries = content.get(key)
    return [e for e in entries if isinstance(e, dict)] if isinstance(entries, list) else []


def _category_names(contents: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The categories of all files in order of their ids (the first file's, where they differ)."""
    entries = [c for content in contents for c in _objects(content, "categories")]
    known = [c for c in entries if isinstance(c.get("id"), int)]
    known.sort(key=lambda category: int(category["id"]))
    return tuple(dict.fromkeys(_name(c) for c in known))


def _name(category: Mapping[str, Any]) -> str:
    return printable(str(category.get("name", category["id"])))


def _find(name: str, folders: Sequence[str], guard: PathGuard) -> tuple[str, Failure | None]:
    failure = guard.refuse(name)
    for folder in folders:
        path = join(folder, name)
        found = guard.refuse(path)
        if found is None:
            return path, None
        if found.stage == "plan":
            return name, found
        failure = found
    return name, failure


def _note(listing: Listing) -> None:
    boxes = sum(len(item.boxes or ()) for item in listing.items)
    listing.note(f"{boxes} boxes of {len(listing.box_classes)} categories")
