"""What may travel from a listed item into a plan: boxes, captions and attributes, checked.

The same limits hold in the core, which reads plans that others may have written.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence

from medprep.errors import PrivacyError
from medprep.types import ATTRIBUTES, Box, Failure, PlannedSample, SourceItem

MAX_BOXES = 10_000
MAX_CAPTION_BYTES = 64 * 2**10
MAX_BOX_LABEL = 0xFFFF
MAX_AGE = 90  # years; stands for 90 and over
MAX_PLANNED_BYTES = 2**19  # of the boxes of one image as JSON: lines of a plan end at 1 MiB
MAX_TEXT = 32  # characters of a view or sex; DICOM has 16


def split_usable(items: Sequence[SourceItem]) -> tuple[list[SourceItem], list[Failure]]:
    """The items whose annotations can be stored, and a failure for each of the others.

    Raises PrivacyError for an attribute that is not on the allow-list: no layout may offer one.
    """
    usable: list[SourceItem] = []
    failures: list[Failure] = []
    for item in items:
        reason = refusal(item)
        if reason is None:
            usable.append(item)
        else:
            failures.append(Failure(item.path, "plan", reason))
    return usable, failures


def refusal(item: SourceItem | PlannedSample) -> str | None:
    """Why the annotations of an item cannot be stored, or None. Raises as `split_usable`."""
    if item.boxes is None and item.caption is None and item.attributes is None:
        return None
    return (
        _boxes_refusal(item.boxes or ())
        or _caption_refusal(item.caption or "")
        or _attributes_refusal(item.attributes or {})
    )


def planned_boxes(item: SourceItem) -> tuple[Box, ...] | None:
    """The boxes with plain numbers."""
    if item.boxes is None:
        return None
    return tuple(
        Box(float(x_min), float(y_min), float(x_max), float(y_max), int(label))
        for x_min, y_min, x_max, y_max, label in item.boxes
    )


def planned_attributes(item: SourceItem | PlannedSample) -> dict[str, str | float] | None:
    """The attributes in the order of the allow-list, the age capped; None without any."""
    if not item.attributes:
        return None
    known = {name: item.attributes[name] for name in ATTRIBUTES if name in item.attributes}
    age = known.get("age")
    if isinstance(age, (int, float)) and age > MAX_AGE:
        known["age"] = MAX_AGE
    return known


def box_class_names(items: Sequence[SourceItem], names: Sequence[str]) -> tuple[str, ...] | None:
    """What the labels of boxes mean, numbers where the layout has no names; None without boxes."""
    if all(item.boxes is None for item in items):
        return None
    labels = (box.label for item in items for box in item.boxes or ())
    highest = max(labels, default=-1)
    return (*names, *(str(label) for label in range(len(names), highest + 1)))


def refuse_private_captions(items: Sequence[SourceItem], *, private: bool, keep: bool) -> None:
    """Raise PrivacyError when free text, which may name a patient, would reach a private OUT."""
    if not private or keep:
        return
    count = sum(bool(item.caption) for item in items)
    if count:
        raise PrivacyError(
            f"{count} images have captions, free text that may name patients",
            stage="plan",
            hint="--keep-captions stores them all the same; --keep-paths if nothing is private",
        )


def _boxes_refusal(boxes: Sequence[Box]) -> str | None:
    if len(boxes) > MAX_BOXES:
        return f"{len(boxes)} boxes, over the limit of {MAX_BOXES}"
    for at, box in enumerate(boxes):
        x_min, y_min, x_max, y_max, label = box
        if not all(map(math.isfinite, box[:4])):
            return f"box {at}: an edge is not a finite number"
        if x_min >= x_max or y_min >= y_max:
            return (
                f"box {at}: must have x_min < x_max and y_min < y_max, "
                f"got {x_min:g}, {y_min:g}, {x_max:g}, {y_max:g}"
            )
        if not 0 <= label <= MAX_BOX_LABEL:
            return f"box {at}: the label must be in 0..{MAX_BOX_LABEL}, got {label}"
    return _size_refusal(boxes)


def _size_refusal(boxes: Sequence[Box]) -> str | None:
    if len(boxes) * 120 < MAX_PLANNED_BYTES:  # no number has more than 24 characters
        return None
    found = len(json.dumps([[*map(float, box[:4]), box.label] for box in boxes]))
    if found <= MAX_PLANNED_BYTES:
        return None
    return f"{len(boxes)} boxes take {found} bytes, over the limit of {MAX_PLANNED_BYTES}"


def _caption_refusal(caption: str) -> str | None:
    try:
        found = len(caption.encode())
    except UnicodeEncodeError:
        return "the caption is not text"
    if found > MAX_CAPTION_BYTES:
        return f"caption has {found} bytes, over the limit of {MAX_CAPTION_BYTES}"
    return None


def _attributes_refusal(attributes: Mapping[str, str | float]) -> str | None:
    for name, value in attributes.items():
        if name not in ATTRIBUTES:
            raise PrivacyError(
                f"attribute {name!r} is not on the allow-list ({', '.join(ATTRIBUTES)})",
                stage="plan",
                hint="this is an error of the layout; please report it",
            )
        if name in ("view", "sex"):
            fits = isinstance(value, str) and len(value) <= MAX_TEXT and value.isprintable()
        else:
            fits = isinstance(value, (int, float)) and math.isfinite(value) and value >= 0
        if not fits:
            return f"attribute {name} has a value that cannot be"  # which may name a patient
    return None
