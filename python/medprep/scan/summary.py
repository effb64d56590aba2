"""From a listing and its headers to one JSON-ready summary."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from medprep.privacy import withhold
from medprep.scan.captions import MODALITY_RULE, modality_of, summarise_captions
from medprep.scan.headers import Header, Unreadable
from medprep.sources.listing import OTHER_SUFFIXES, Listing, Note, is_hidden, is_image_name
from medprep.types import SourceItem

LAYOUT_MODALITIES = {
    "rsna": "X-ray",
    "rsna-mdai": "X-ray",
    "kermany": "X-ray",
    "smdg": "fundus",
    "fundus-pytorch": "fundus",
    "ham10000": "dermoscopy",
}
"""Layouts all of whose images are of one kind."""

_NAMELESS = OTHER_SUFFIXES | {"(none)"}
SHOWN = 12  # sizes, reasons and file types that are listed by name
EXAMPLES = 3  # paths named for each reason


def summarise(
    listing: Listing, headers: Sequence[Header | Unreadable], *, private: bool
) -> dict[str, Any]:
    """The facts of a collection. private: no path, name or caption of the source is quoted."""
    readable = [header for header in headers if isinstance(header, Header)]
    unreadable = [header for header in headers if isinstance(header, Unreadable)]
    items = listing.items
    return {
        "layout": listing.layout,
        "images": len(items),
        "bytes": sum(header.size for header in headers),
        "readable": len(readable),
        "unreadable": _reasons([(u.path, u.reason) for u in unreadable], private=private),
        "refused": _reasons([(f.path or "", f.reason) for f in listing.failures], private=private),
        "classes": _in_order(listing.class_names, (i.class_name for i in items)),
        "unlabelled": sum(item.class_name is None for item in items),
        "splits": dict(Counter(item.split for item in items if item.split is not None)),
        "groups": _groups(items),
        "formats": _counted(header.format for header in readable),
        "modes": _counted(header.mode for header in readable),
        "sizes": _sizes(readable),
        "frames": _frames(readable),
        "icc_profiles": sum(header.icc for header in readable),
        "modalities": _modalities(listing),
        "modality_rule": MODALITY_RULE,
        "boxes": _boxes(items),
        "captions": summarise_captions([item.caption for item in items]),
        "attributes": _attributes(items),
        "notes": [_note(note, private) for note in listing.notes],
    }


def _note(note: Note, private: bool) -> str:
    line = note.line(private=private)
    return withhold(line) if private else line


def other_files(listing: Listing, *, private: bool) -> tuple[int, dict[str, int]]:
    """What else lies below the root: how many images that the layout does not read, and the rest.

    The rest are files that promise no image, by suffix, most frequent first. private: suffixes that
    are no common ones may be part of a name, and are counted together.
    """
    listed = {item.path for item in listing.items} | {f.path for f in listing.failures}
    images, counts = 0, Counter[str]()
    for folder, folders, names in os.walk(listing.root):
        folders[:] = [name for name in folders if not is_hidden(name)]
        below = os.path.relpath(folder, listing.root)
        for name in names:
            if is_hidden(name) or (name if below == "." else f"{below}/{name}") in listed:
                continue
            if is_image_name(name):
                images += 1
            else:
                suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 (10^7 names)
                counts[suffix or "(none)"] += 1
    if private:
        counts = _with_common_suffixes(counts)
    return images, dict(counts.most_common())


def _with_common_suffixes(counts: Counter[str]) -> Counter[str]:
    found: Counter[str] = Counter()
    for suffix, count in counts.items():
        found[suffix if suffix in _NAMELESS else "(other)"] += count
    return found


def _counted(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(values).most_common())


def _in_order(names: Sequence[str], values: Iterable[str | None]) -> dict[str, int]:
    counts = Counter(values)
    return {name: counts[name] for name in names}


def _reasons(found: Sequence[tuple[str, str]], *, private: bool) -> dict[str, Any]:
    """How many, and the most frequent reasons with a few paths each."""
    by_reason: dict[str, list[str]] = {}
    for path, reason in found:
        by_reason.setdefault(_general(reason), []).append(path)
    ranked = sorted(by_reason.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    return {
        "count": len(found),
        "reasons": [
            {
                "reason": reason,
                "count": len(paths),
                "examples": [] if private else sorted(paths)[:EXAMPLES],
            }
            for reason, paths in ranked[:SHOWN]
        ],
    }


def _general(reason: str) -> str:
    """The reason with its numbers taken out, so that like counts with like."""
    return re.sub(r"\b\d{2,}\b", "N", reason)


def _groups(items: Sequence[SourceItem]) -> dict[str, Any] | None:
    sizes = Counter(item.group for item in items if item.group is not None)
    if not sizes:
        return None
    splits: dict[str, set[str]] = {}
    for item in items:
        if item.group is not None and item.split is not None:
            splits.setdefault(item.group, set()).add(item.split)
    return {
        "groups": len(sizes),
        "images_in_groups": sum(sizes.values()),
        "median_images": median(sizes.values()),
        "largest": max(sizes.values()),
        "in_several_splits": sum(len(names) > 1 for names in splits.values()),
    }


def _sizes(headers: Sequence[Header]) -> dict[str, Any] | None:
    if not headers:
        return None
    shapes = Counter((header.height, header.width) for header in headers)
    return {
        "height": _range([header.height for header in headers]),
        "width": _range([header.width for header in headers]),
        "megapixels": _range([header.height * header.width / 1e6 for header in headers]),
        "aspect": _range([header.width / header.height for header in headers]),
        "different": len(shapes),
        "most_common": [
            {"height": height, "width": width, "count": count}
            for (height, width), count in shapes.most_common(SHOWN)
        ],
    }


def _frames(headers: Sequence[Header]) -> dict[str, int] | None:
    """How many files hold several images; None where none does."""
    several = [header.frames for header in headers if header.frames > 1]
    if not several:
        return None
    return {"files": len(several), "frames": sum(several), "largest": max(several)}


def _range(values: Sequence[float]) -> dict[str, float]:
    return {"min": min(values), "median": median(values), "max": max(values)}


def _modalities(listing: Listing) -> dict[str, int] | None:
    """None where neither layout nor captions say one."""
    known = LAYOUT_MODALITIES.get(listing.layout)
    if known is not None:
        return {known: len(listing.items)}
    if not any(item.caption for item in listing.items):
        return None
    return _counted(modality_of(item.caption or "") for item in listing.items)


def _boxes(items: Sequence[SourceItem]) -> dict[str, Any] | None:
    known = [item.boxes for item in items if item.boxes is not None]
    if not known:
        return None
    boxes = [box for found in known for box in found]
    return {
        "images_with": sum(bool(found) for found in known),
        "images_without": sum(not found for found in known),
        "boxes": len(boxes),
        "most_in_one_image": max(map(len, known)),
        "width": _range([box.x_max - box.x_min for box in boxes]) if boxes else None,
        "height": _range([box.y_max - box.y_min for box in boxes]) if boxes else None,
    }


def _attributes(items: Sequence[SourceItem]) -> dict[str, Any]:
    """Numbers as a range, words as counts, and how many images have each."""
    columns: dict[str, list[str | float]] = {}
    for item in items:
        for name, value in (item.attributes or {}).items():
            columns.setdefault(name, []).append(value)
    return {name: _column(values) for name, values in sorted(columns.items())}


def _column(values: Sequence[str | float]) -> Mapping[str, Any]:
    numbers = [value for value in values if not isinstance(value, str)]
    if len(numbers) == len(values):
        return {"known": len(values), **_range(numbers)}
    return {"known": len(values), "counts": _counted(str(value) for value in values)}
