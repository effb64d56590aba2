"""Layout `rsna`: the RSNA Pneumonia Detection Challenge as Kaggle ships it (MD.ai: `rsna_mdai`).

`patientId` names an image, not a patient: only the official mapping to the NIH images tells who
is who. Images without labels (the 3,000 of stage_2_test_images) go to the split `unlabelled`,
which ratios never touch, so that they reach neither training nor a measurement.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from medprep.errors import SourceError, UsageError
from medprep.sources.box_columns import parse_box
from medprep.sources.listing import Listing, printable
from medprep.sources.options import SourceOptions
from medprep.sources.places import ImageIndex, files_in, find_home, join
from medprep.sources.rows import read_records
from medprep.types import UNLABELLED_SPLIT, Box, Failure, SourceItem

NAME = "rsna"
LABELS = "stage_2_train_labels.csv"
CLASSES_TABLE = "stage_2_detailed_class_info.csv"
TRAIN, TEST = "stage_2_train_images", "stage_2_test_images"
MAPPING_START = "pneumonia-challenge-dataset-mappings"
FINDING = "Lung Opacity"
CLASSES = ("Normal", "No Lung Opacity / Not Normal", FINDING)
WITHOUT_CLASS_TABLE = ("No Lung Opacity", FINDING)
_NIH_NAME = re.compile(r"(\d{8})_\d{3}\.png", re.ASCII)
_MAX_MAPPING_BYTES = 2**28  # the official one has about 15 MB

Found = tuple[str, Failure | None]
"""Path of an image and what is wrong with it, if anything is."""


@dataclass(slots=True)
class Labelled:
    """What the tables say about one image."""

    target: str
    boxes: list[Box] = field(default_factory=list)
    class_name: str | None = None
    problem: str | None = None


def matches(src: Path) -> str | None:
    """The label table, in SRC or in the lone folder inside."""
    return LABELS if _home(src) is not None else None


def list_source(src: Path, options: SourceOptions) -> Listing:
    """One item per image with its boxes, in 1024-pixel units as the table has them.

    Raises UsageError when a table or the folder of images is missing or a column is.
    """
    options.refuse_columns(NAME)
    home = _home(src)
    if home is None:
        raise SourceError(f"{src}: no {LABELS}", hint="name the folder that holds it as SRC")
    if not (src / home / TRAIN).is_dir():
        raise SourceError(
            f"{src}: no folder {TRAIN} beside {LABELS}", hint="unpack the images there"
        )
    labelled, with_classes = _read_tables(src / home)
    patients = read_mapping(src / home, "subset_img_id") if options.groups else None
    classes = CLASSES if with_classes else WITHOUT_CLASS_TABLE
    options.check_unlabelled(classes)
    listing = Listing(
        layout=NAME,
        root=src,
        items=[],
        classes=classes,
        box_classes=(FINDING,),
        patients=True,
        header_groups=False,
    )
    folders = [join(home, name) for name in (TRAIN, TEST) if (src / home / name).is_dir()]
    index = ImageIndex(src, folders)
    find = partial(_find, join(home, TRAIN))
    list_labelled(listing, index, labelled, find, patients or {}, options)
    list_others(listing, index, patients or {}, lack="a label row")
    note_boxes(listing)
    listing.items.sort(key=lambda item: item.path)
    if not with_classes:
        listing.note(f"no {CLASSES_TABLE}: two classes by Target instead of three")
    if options.groups:
        note_patients(listing, patients, beside=LABELS)
    return listing


def _home(src: Path) -> str | None:
    return find_home(src, lambda folder: (folder / LABELS).is_file())


def _read_tables(home: Path) -> tuple[dict[str, Labelled], bool]:
    """What the tables say by patientId, and whether there is a table of classes."""
    columns = ("patientId", "x", "y", "width", "height", "Target")
    found: dict[str, Labelled] = {}
    for _, row in read_records(home / LABELS, columns):
        entry = found.setdefault(row["patientId"], Labelled(row["Target"]))
        _add_row(entry, row)
    with_classes = (home / CLASSES_TABLE).is_file()
    if with_classes:
        for _, row in read_records(home / CLASSES_TABLE, ("patientId", "class")):
            named = found.get(row["patientId"])
            if named is None:
                continue
            if named.class_name not in (None, row["class"]):
                named.problem = f"two classes in {CLASSES_TABLE}"
            named.class_name = row["class"]
    for entry in found.values():
        entry.problem = entry.problem or _contradiction(entry, with_classes)
        if not with_classes:
            entry.class_name = WITHOUT_CLASS_TABLE[entry.target == "1"]
    return found, with_classes


def _add_row(entry: Labelled, row: Mapping[str, str]) -> None:
    if row["Target"] not in ("0", "1") or row["Target"] != entry.target:
        entry.problem = "Target is not the same 0 or 1 in all its rows"
    try:
        box = parse_box([row[name] for name in ("x", "y", "width", "height")], is_size=True)
    except ValueError as error:
        entry.problem = str(error)
        return
    if box is not None and box not in entry.boxes:
        entry.boxes.append(box)


def _contradiction(entry: Labelled, with_classes: bool) -> str | None:
    is_finding = entry.target == "1"
    if bool(entry.boxes) != is_finding:
        return "Target and boxes contradict each other"
    if with_classes and entry.class_name not in CLASSES:
        return f"no known class in {CLASSES_TABLE}"
    if with_classes and (entry.class_name == FINDING) != is_finding:
        return "Target and class contradict each other"
    return None


def read_mapping(home: Path, image_key: str) -> dict[str, str] | None:
    """NIH patient by image from the official mapping; None when there is none beside.

    image_key: `subset_img_id`, which is Kaggle's patientId, or `SOPInstanceUID`. Raises UsageError
    when the mapping is damaged.
    """
    name = next((n for n in files_in(home, ".json") if n.startswith(MAPPING_START)), None)
    if name is None:
        return None
    path = home / name
    try:
        if path.stat().st_size > _MAX_MAPPING_BYTES:
            raise UsageError(f"{path}: more than {_MAX_MAPPING_BYTES >> 20} MiB is no mapping")
        rows = json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: cannot read the mapping: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise UsageError(f"{path}: not valid JSON", hint="download the mapping again") from None
    if not isinstance(rows, list):
        raise UsageError(f"{path}: expected a list of objects", hint="download the mapping again")
    found: dict[str, str] = {}
    for row in (row for row in rows if isinstance(row, dict)):
        patient = _NIH_NAME.fullmatch(str(row.get("img_id")))
        if patient is not None:
            found[str(row.get(image_key))] = f"nih-{patient[1]}"
    if not found:
        raise UsageError(
            f"{path}: no entry has {image_key} and an NIH img_id", hint="download it again"
        )
    return found


def _find(folder: str, image: str, entry: Labelled, index: ImageIndex) -> Found:
    path = f"{folder}/{image}.dcm"
    failure = index.refuse(path)
    if failure is None and entry.problem is not None:
        failure = Failure(printable(path), "plan", entry.problem)
    return path, failure


def list_labelled(
    listing: Listing,
    index: ImageIndex,
    labelled: Mapping[str, Labelled],
    find: Callable[[str, Labelled, ImageIndex], Found],
    patients: Mapping[str, str],
    options: SourceOptions,
) -> None:
    """Items and failures of the labelled images; what is left in the index has no label."""
    for image, entry in labelled.items():
        path, failure = find(image, entry, index)
        if failure is not None:
            listing.failures.append(failure)
        else:
            listing.items.append(
                SourceItem(
                    path=path,
                    class_name=options.label(entry.class_name),
                    group=patients.get(image),
                    boxes=tuple(entry.boxes),
                )
            )
        index.paths.pop(path, None)


def list_others(
    listing: Listing, index: ImageIndex, patients: Mapping[str, str], *, lack: str
) -> None:
    """Set aside what nothing labels: test images, strays, what readers did not agree upon."""
    others = [path for path, failure in index.paths.items() if failure is None]
    for path in others:
        group = patients.get(Path(path).stem)
        listing.items.append(SourceItem(path=path, split=UNLABELLED_SPLIT, group=group))
    listing.failures += [failure for failure in index.paths.values() if failure is not None]
    if others:
        listing.note(
            f"{len(others)} images without {lack} are set aside in split {UNLABELLED_SPLIT} "
            "(label -1)"
        )


def note_boxes(listing: Listing) -> None:
    """Say how many boxes there are."""
    boxes = sum(len(item.boxes or ()) for item in listing.items)
    positive = sum(bool(item.boxes) for item in listing.items)
    listing.note(f"{boxes} boxes on {positive} images")


def note_patients(listing: Listing, patients: Mapping[str, str] | None, *, beside: str) -> None:
    """Say how many true patients there are, or what is missing to know them."""
    if patients is None:
        listing.note(
            "patientId is one per image, not per patient: without the official "
            f"{MAPPING_START}*.json beside {beside}, images of one patient can cross splits"
        )
        return
    mapped = [item for item in listing.items if item.group is not None]
    listing.note(
        f"{len(mapped)} images of {len({item.group for item in mapped})} true patients, by the "
        "official mapping to NIH; each patient stays in one split"
    )
    if len(mapped) < len(listing.items):
        listing.note(f"{len(listing.items) - len(mapped)} images are not in the mapping")
