"""Layout `rsna-mdai`: the RSNA pneumonia set as MD.ai exports it, from RSNA's own page.

Images are <study>/<series>/<image>.dcm, named by their UIDs; one JSON holds what every team of
readers said. The labels that the challenge used are its group `Calculated`. Images that have none
(excluded, or never agreed upon) go to the split `unlabelled`, which ratios never touch.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from medprep.errors import SourceError, UsageError
from medprep.sources.box_columns import parse_box
from medprep.sources.listing import Listing, printable
from medprep.sources.options import SourceOptions
from medprep.sources.places import ImageIndex, files_in, find_home
from medprep.sources.rsna import (
    CLASSES,
    FINDING,
    Found,
    Labelled,
    list_labelled,
    list_others,
    note_boxes,
    note_patients,
    read_mapping,
)
from medprep.types import Failure

NAME = "rsna-mdai"
ANNOTATIONS_START = "pneumonia-challenge-annotations-adjudicated"
CONSENSUS = "Calculated"
_UID = re.compile(r"[0-9.]{1,64}", re.ASCII)
_MAX_BYTES = 2**29  # the official file has about 52 MB


def matches(src: Path) -> str | None:
    """The adjudicated annotations, in SRC or in the lone folder inside."""
    home = _home(src)
    return None if home is None else _annotations_in(src / home)


def list_source(src: Path, options: SourceOptions) -> Listing:
    """One item per image with its boxes, in pixels (images are 1024 x 1024).

    Raises SourceError when SRC has no such annotations, UsageError when they are not of this kind.
    """
    options.refuse_columns(NAME)
    options.check_unlabelled(CLASSES)
    home = _home(src)
    if home is None:
        raise SourceError(
            f"{src}: no {ANNOTATIONS_START}*.json", hint="name the folder that holds it as SRC"
        )
    labelled = _read_annotations(src / home / str(_annotations_in(src / home)))
    patients = read_mapping(src / home, "SOPInstanceUID") if options.groups else None
    listing = Listing(
        layout=NAME,
        root=src,
        items=[],
        classes=CLASSES,
        box_classes=(FINDING,),
        patients=True,
        header_groups=False,
    )
    index = ImageIndex(src, [home])
    list_labelled(listing, index, labelled, _find, patients or {}, options)
    list_others(listing, index, patients or {}, lack=f"a label of the group {CONSENSUS}")
    note_boxes(listing)
    listing.items.sort(key=lambda item: item.path)
    if options.groups:
        note_patients(listing, patients, beside=f"{ANNOTATIONS_START}*.json")
    return listing


def _home(src: Path) -> str | None:
    return find_home(src, lambda folder: _annotations_in(folder) is not None)


def _annotations_in(folder: Path) -> str | None:
    names = files_in(folder, ".json")
    return next((name for name in names if name.startswith(ANNOTATIONS_START)), None)


def _read_annotations(path: Path) -> dict[str, Labelled]:
    """What the readers agreed on, by SOPInstanceUID."""
    content = _load(path)
    names = _consensus_labels(content)
    if not names:
        raise UsageError(
            f"{path}: no label group {CONSENSUS!r}", hint="download the adjudicated annotations"
        )
    found: dict[str, Labelled] = {}
    for annotation in _annotations(content):
        name, image = names.get(str(annotation.get("labelId"))), annotation.get("SOPInstanceUID")
        if name is not None and isinstance(image, str):  # others are of a team, or of a study
            entry = found.setdefault(image, Labelled(str(int(name == FINDING)), class_name=name))
            _add(entry, name, annotation.get("data"))
    for entry in found.values():
        entry.problem = entry.problem or _contradiction(entry)
    return found


def _load(path: Path) -> Mapping[str, Any]:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise UsageError(f"{path}: more than {_MAX_BYTES >> 20} MiB of JSON")
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: cannot read the annotations: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise UsageError(f"{path}: not valid JSON", hint="download it again") from None
    if not isinstance(content, dict):
        raise UsageError(f"{path}: expected an object with labelGroups and datasets")
    return content


def _consensus_labels(content: Mapping[str, Any]) -> dict[str, str]:
    groups = [g for g in _objects(content, "labelGroups") if g.get("name") == CONSENSUS]
    return {
        str(label.get("id")): str(label.get("name"))
        for group in groups
        for label in _objects(group, "labels")
    }


def _annotations(content: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for dataset in _objects(content, "datasets"):
        yield from _objects(dataset, "annotations")


def _objects(content: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    entries = content.get(key)
    return [e for e in entries if isinstance(e, dict)] if isinstance(entries, list) else []


def _add(entry: Labelled, name: str, data: object) -> None:
    if name != entry.class_name:
        entry.problem = "two classes in the annotations"
    if not isinstance(data, dict):
        return
    try:
        box = parse_box([str(data.get(k, "")) for k in ("x", "y", "width", "height")], is_size=True)
    except ValueError as error:
        entry.problem = str(error)
        return
    if box is not None and box not in entry.boxes:
        entry.boxes.append(box)


def _contradiction(entry: Labelled) -> str | None:
    if entry.class_name not in CLASSES:
        return "no known class in the annotations"
    if bool(entry.boxes) != (entry.class_name == FINDING):
        return "class and boxes contradict each other"
    return None


def _find(image: str, entry: Labelled, index: ImageIndex) -> Found:
    """The file of an image, looked up among those that the guarded walk has found."""
    if not _UID.fullmatch(image):
        return "", Failure(printable(image), "plan", "not a UID")
    path = next(iter(index.by_stem.get(image, ())), None)
    if path is None:
        return "", Failure(image, "read", "no image of this UID in any folder")
    if entry.problem is not None:
        return path, Failure(printable(path), "plan", entry.problem)
    return path, index.paths[path]
