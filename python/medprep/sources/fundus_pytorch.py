"""Layout `fundus-pytorch`: SMDG images in train|val|test/0|1, thousands of them copies.

17,242 files against at most 12,316 labelled SMDG images: files are grouped by the SMDG name they
carry, so that copies stay together, and the set's own split is only used with a warning.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from medprep.errors import SourceError
from medprep.sources.listing import FoundFile, Listing, walk_images
from medprep.sources.options import SourceOptions
from medprep.sources.places import find_home, join
from medprep.types import SPLIT_ALIASES, SourceItem

NAME = "fundus-pytorch"
CLASSES = ("0", "1")
_SOURCES = (
    *("BEH", "CRFO-v4", "DR-HAGIS", "DRISHTI-GS1-(?:test|train)", "EyePACS(?:-Glaucoma)?", "FIVES"),
    *("G1020", "HRF", "JSIEC-1000", "LES-AV", "OIA-ODIR-(?:TEST-OFFLINE|TEST-ONLINE|TRAIN)"),
    *("ORIGA", "PAPILA", "REFUGE1-(?:train|val|test)", "sjchoi86-HRF"),
)
_SMDG_NAME = re.compile(rf"(?:.*?[_-])??((?:{'|'.join(_SOURCES)})-\d+)(?!\d).*", re.IGNORECASE)
_LOOKED_AT = 50  # names that decide whether a 0|1 tree is this one


def matches(src: Path) -> str | None:
    """Folders train, val or test that hold 0 and 1, and files named as SMDG names them."""
    home = _home(src)
    if home is None:
        return None
    names = [Path(f.path).name for f in islice(_images(src, home), _LOOKED_AT)]
    smdg = sum(smdg_name(name) is not None for name in names)
    return "train|val|test/0|1 with SMDG file names" if names and 2 * smdg > len(names) else None


def list_source(src: Path, options: SourceOptions) -> Listing:
    """Every image with the split of its folder. Raises UsageError for another structure."""
    options.refuse_columns(NAME)
    options.check_unlabelled(CLASSES)
    home = _home(src)
    if home is None:
        raise SourceError(f"{src}: no folders train, val and test that hold 0 and 1")
    listing = Listing(layout=NAME, root=src, items=[], classes=CLASSES)
    for file in _images(src, home):
        if file.failure is not None:
            listing.failures.append(file.failure)
            continue
        split, class_name, name = file.path.removeprefix(f"{home}/" if home else "").split("/", 2)
        listing.items.append(
            SourceItem(
                path=file.path,
                class_name=options.label(class_name),
                split=SPLIT_ALIASES[split.lower()],
                group=smdg_name(name.rsplit("/", 1)[-1]) if options.groups else None,
            )
        )
    listing.items.sort(key=lambda item: item.path)
    if options.groups:
        _note(listing)
    return listing


def smdg_name(file_name: str) -> str | None:
    """The SMDG name that a file or its copy carries: `BEH-12_aug_3.png` -> `beh-12`."""
    found = _SMDG_NAME.fullmatch(Path(file_name).stem)
    return found[1].lower() if found else None


def _home(src: Path) -> str | None:
    return find_home(src, lambda folder: len(_class_folders(folder)) >= 4)


def _class_folders(folder: Path) -> list[str]:
    """`train/0`, `train/1`, ... as far as they are there; a split with only one class is none."""
    splits = [s for s in ("train", "val", "valid", "test") if (folder / s).is_dir()]
    whole = [s for s in splits if all((folder / s / name).is_dir() for name in CLASSES)]
    return [f"{split}/{name}" for split in whole for name in CLASSES]


def _images(src: Path, home: str) -> Iterator[FoundFile]:
    for folder in _class_folders(src / home):
        yield from walk_images(src, below=join(home, folder))


def _note(listing: Listing) -> None:
    grouped = [item for item in listing.items if item.group is not None]
    groups = {item.group for item in grouped}
    listing.note(
        f"{len(listing.items)} files of {len(groups)} SMDG images: "
        f"{len(grouped) - len(groups)} are copies, kept together by their SMDG name"
    )
    if len(grouped) < len(listing.items):
        listing.note(f"{len(listing.items) - len(grouped)} files carry no SMDG name")
    if leaking := listing.leaking_groups():
        listing.note(
            f"the set's own split leaks: {leaking} of {len(groups)} SMDG images have copies in "
            "more than one split; --split train=0.8,val=0.1,test=0.1 keeps copies together"
        )
