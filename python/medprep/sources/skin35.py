"""Layout `skin35`: the "massive balanced" skin set with its 35 folders.

Its folders are DermNet's 23, an infection set of 8, and four more; the names stay as they are,
two spaces and `Heathy` included. Balanced by copies, so copies are grouped: same bytes, or one
name with marks of augmentation.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from medprep.errors import SourceError
from medprep.sources.listing import Listing, subfolders, walk_images
from medprep.sources.options import SourceOptions
from medprep.sources.places import find_home, join
from medprep.types import SourceItem

NAME = "skin35"
WRAPPER = "balanced_dataset"
CLASSES = (
    "Acne And Rosacea Photos",
    "Actinic Keratosis Basal Cell Carcinoma And Other Malignant Lesions",
    "Atopic Dermatitis Photos",
    "Ba  Cellulitis",
    "Ba Impetigo",
    "Benign",
    "Bullous Disease Photos",
    "Cellulitis Impetigo And Other Bacterial Infections",
    "Eczema Photos",
    "Exanthems And Drug Eruptions",
    "Fu Athlete Foot",
    "Fu Nail Fungus",
    "Fu Ringworm",
    "Hair Loss Photos Alopecia And Other Hair Diseases",
    "Heathy",
    "Herpes Hpv And Other Stds Photos",
    "Light Diseases And Disorders Of Pigmentation",
    "Lupus And Other Connective Tissue Diseases",
    "Malignant",
    "Melanoma Skin Cancer Nevi And Moles",
    "Nail Fungus And Other Nail Disease",
    "Pa Cutaneous Larva Migrans",
    "Poison Ivy Photos And Other Contact Dermatitis",
    "Psoriasis Pictures Lichen Planus And Related Diseases",
    "Rashes",
    "Scabies Lyme Disease And Other Infestations And Bites",
    "Seborrheic Keratoses And Other Benign Tumors",
    "Systemic Disease",
    "Tinea Ringworm Candidiasis And Other Fungal Infections",
    "Urticaria Hives",
    "Vascular Tumors",
    "Vasculitis Photos",
    "Vi Chickenpox",
    "Vi Shingles",
    "Warts Molluscum And Other Viral Infections",
)
_ENOUGH = 18  # more than half of the folders: a partial download is still this set
_MARKS = re.compile(
    r"(?:[ _-]*(?:copy|aug(?:mented)?|rot(?:ated)?|[hv]?flip(?:ped)?|crop(?:ped)?|zoom(?:ed)?"
    r"|bright(?:ness)?|noise|blur(?:red)?)(?:[ _-]*\d+)*|\s*\(\d+\))+$",
    re.ASCII | re.IGNORECASE,
)
_TAIL = 4096  # bytes; with the size they tell one photograph's file from another's


def matches(src: Path) -> str | None:
    """More than half of the 35 folders, in SRC or in balanced_dataset/ (once or twice)."""
    home = _home(src)
    if home is None:
        return None
    return f"{len(_class_folders(src / home))} of the 35 class folders"


def list_source(src: Path, options: SourceOptions) -> Listing:
    """Every image of the class folders; copies share a group. Raises UsageError without them."""
    options.refuse_columns(NAME)
    home = _home(src)
    if home is None:
        raise SourceError(f"{src}: fewer than {_ENOUGH} of the 35 class folders")
    names = subfolders(src / home)
    options.check_unlabelled(names)
    listing = Listing(layout=NAME, root=src, items=[])
    for name in names:
        for file in walk_images(src, below=join(home, name)):
            if file.failure is not None:
                listing.failures.append(file.failure)
            else:
                item = SourceItem(path=file.path, class_name=options.label(name))
                listing.items.append(item)
    listing.items.sort(key=lambda item: item.path)
    _note_classes(listing, names)
    if options.groups and not options.paths_only:
        _group_copies(listing)
    return listing


def _home(src: Path) -> str | None:
    return find_home(src, lambda folder: len(_class_folders(folder)) >= _ENOUGH, WRAPPER)


def _class_folders(folder: Path) -> list[str]:
    return [name for name in CLASSES if (folder / name).is_dir()]


def _note_classes(listing: Listing, names: list[str]) -> None:
    unknown = sorted(set(names).difference(CLASSES))
    missing = len(set(CLASSES).difference(names))
    listing.note(f"{len(names)} class folders, named as they are on disk; some classes overlap")
    if unknown or missing:
        listing.note(
            f"{missing} of the 35 folders are missing, {len(unknown)} are not of the set",
            unknown[0] if unknown else None,
        )


def _group_copies(listing: Listing) -> None:
    """Join items with the same bytes, and items of one class whose names differ in marks only."""
    leader = list(range(len(listing.items)))

    def find(at: int) -> int:
        while leader[at] != at:
            leader[at] = leader[leader[at]]
            at = leader[at]
        return at

    first: dict[object, int] = {}
    for at, item in enumerate(listing.items):
        for key in (original_name(item.path), _content(f"{listing.root}/{item.path}")):
            if key is not None:
                a, b = find(first.setdefault(key, at)), find(at)
                leader[max(a, b)] = min(a, b)
    members: dict[int, list[int]] = defaultdict(list)
    for at in range(len(listing.items)):
        members[find(at)].append(at)
    copies = {lead: found for lead, found in members.items() if len(found) > 1}
    for lead, found in copies.items():
        for at in found:
            listing.items[at] = replace(listing.items[at], group=listing.items[lead].path)
    _note_copies(listing, list(copies.values()))


def original_name(path: str) -> str:
    """The path without suffix and marks of copying: `A/x_aug_3.jpg` and `A/x (2).jpg` -> `A/x`."""
    stem = os.path.splitext(path)[0]  # noqa: PTH122 (10^5 names)
    return _MARKS.sub("", stem) or stem


def _content(file: str) -> tuple[int, bytes] | None:
    """Size and hash of the end of a file; None when it cannot be read (decoding says why)."""
    try:
        descriptor = os.open(file, os.O_RDONLY)  # half the time of Path.open, of 262,874 files
    except OSError:
        return None
    try:
        size = os.fstat(descriptor).st_size
        tail = os.pread(descriptor, _TAIL, max(0, size - _TAIL))
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return size, hashlib.blake2b(tail, digest_size=16).digest()


def _note_copies(listing: Listing, copies: list[list[int]]) -> None:
    if copies:
        listing.note(
            f"{sum(map(len, copies))} files are copies of {len(copies)} images (same bytes, or "
            "one name with marks of augmentation); copies stay in one split"
        )
    conflicts = sum(len({listing.items[at].class_name for at in found}) > 1 for found in copies)
    if conflicts:
        listing.note(f"{conflicts} images lie in several classes: their labels contradict")
