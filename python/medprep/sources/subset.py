"""Layout `subset`: what `medprep subset` wrote; the images stay where they were.

`subset.json` names the collection, `samples.jsonl` its chosen samples. Paths are relative to that
collection and cannot leave it. The links beside them are for people and other tools.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from medprep.errors import SourceError, UsageError
from medprep.sources.listing import Listing, PathGuard
from medprep.sources.options import SourceOptions
from medprep.types import ATTRIBUTES, Box, JsonObject, SourceItem

NAME = "subset"
MANIFEST, SAMPLES, IMAGES = "subset.json", "samples.jsonl", "images"
SCHEMA = 1


def matches(src: Path) -> str | None:
    """A folder that `medprep subset` finished."""
    return MANIFEST if (src / MANIFEST).is_file() and (src / SAMPLES).is_file() else None


def source_of(src: Path) -> Path:
    """The collection that SRC is a part of. Raises UsageError when it is gone."""
    manifest = _read_manifest(src)
    source = Path(manifest["source"])
    if not source.is_dir():
        named = "" if manifest["patients"] else f", {source},"
        raise SourceError(
            f"{src}: the collection it is a part of{named} is not there",
            hint="make the subset again from where the collection is now",
        )
    return source


def of_patients(src: Path) -> bool:
    """True when the whole names patients. Raises UsageError when the manifest is none."""
    return bool(_read_manifest(src)["patients"])


def list_source(src: Path, options: SourceOptions) -> Listing:
    """The chosen samples, as the collection's own layout described them."""
    options.refuse_columns(NAME)
    manifest = _read_manifest(src)
    listing = Listing(
        layout=NAME,
        root=source_of(src),
        items=[],
        classes=tuple(manifest["classes"]),
        box_classes=tuple(manifest["box_classes"]),
        patients=bool(manifest["patients"]),
        header_groups=False,  # what headers say was found when the subset was made
        channels=manifest["channels"],
    )
    guard = PathGuard(listing.root)
    for item in _items(src / SAMPLES):
        failure = guard.refuse(item.path)
        if failure is None:
            listing.items.append(_as_asked(item, options))
        else:
            listing.failures.append(failure)
    listing.note("a subset: images are read from the collection it is a part of")
    return listing


def _read_manifest(src: Path) -> JsonObject:
    path = src / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        known = manifest["schema"] == SCHEMA
        missing = {"source", "classes", "box_classes", "patients", "channels"} - set(manifest)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path}: not the manifest of a subset: {error}") from None
    if not known:
        raise UsageError(f"{path}: of another version, expected schema {SCHEMA}")
    if missing:
        raise UsageError(f"{path}: lacks {', '.join(sorted(missing))}")
    return dict(manifest)


def item_to_json(item: SourceItem) -> JsonObject:
    """One line of `samples.jsonl`; what is not known is left out."""
    named = {
        "path": item.path,
        "class": item.class_name,
        "split": item.split,
        "group": item.group,
        "boxes": None if item.boxes is None else [list(box) for box in item.boxes],
        "caption": item.caption,
        "attributes": None if item.attributes is None else dict(item.attributes),
    }
    return {key: value for key, value in named.items() if value is not None}


def _as_asked(item: SourceItem, options: SourceOptions) -> SourceItem:
    if options.unlabelled is not None and item.class_name == options.unlabelled:
        item = replace(item, class_name=None)
    return replace(item, group=None) if options.group_by == "none" else item


def _items(path: Path) -> Iterator[SourceItem]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                yield _item(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                raise UsageError(f"{path}:{number}: not a sample of a subset: {error}") from None


def _item(data: dict[str, Any]) -> SourceItem:
    boxes = data.get("boxes")
    attributes = data.get("attributes")
    if attributes is not None and not set(attributes) <= set(ATTRIBUTES):
        raise ValueError(f"attributes must be among {', '.join(ATTRIBUTES)}")
    return SourceItem(
        path=data["path"],
        class_name=data.get("class"),
        split=data.get("split"),
        group=data.get("group"),
        boxes=None if boxes is None else tuple(Box(*box) for box in boxes),
        caption=data.get("caption"),
        attributes=attributes,
    )
