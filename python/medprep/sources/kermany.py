"""Layout `kermany`: chest X-rays of children in train|val|test/NORMAL|PNEUMONIA.

The archive holds everything twice (`chest_xray/chest_xray`) and the leftovers of a Mac; the outer
copy is read. The names tell who is shown, and the set's own split separates some of them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from medprep.errors import SourceError
from medprep.sources.listing import Listing, subfolders, walk_images
from medprep.sources.options import SourceOptions
from medprep.sources.places import find_home, join
from medprep.types import SPLIT_ALIASES, SourceItem

NAME = "kermany"
CLASSES = ("NORMAL", "PNEUMONIA")
WRAPPER = "chest_xray"
# person12_bacteria_47 and person12_virus_3 may be one child or two: together they cannot leak.
_PERSON = re.compile(r"(person\d+)_(?:bacteria|virus)_\d+.*", re.ASCII | re.IGNORECASE)
# IM-0115-0001, NORMAL2-IM-0027-0001, NORMAL2-IM-0027-0001-0002: the first number is the child's.
_NORMAL = re.compile(r"((?:NORMAL2-)?IM-\d+)-\d+.*", re.ASCII | re.IGNORECASE)
_LOOKED_AT = 50


def matches(src: Path) -> str | None:
    """Split folders with NORMAL and PNEUMONIA, and files named like person12_virus_3.jpeg."""
    home = find_home(src, lambda folder: bool(_split_folders(folder)), WRAPPER)
    if home is None:
        return None
    below = join(home, _split_folders(src / home)[0])
    names = [file.path for file in islice(walk_images(src, below=below), _LOOKED_AT)]
    return "train|val|test/NORMAL|PNEUMONIA" if _name_children(names) else None


def advice(listing: Listing) -> str | None:
    """What to say of folders NORMAL and PNEUMONIA without splits, whose names tell children."""
    classes = {str(name).upper() for name in listing.class_names}
    if classes != set(CLASSES) or not _name_children([i.path for i in listing.items[:_LOOKED_AT]]):
        return None
    return f"file names tell which child is shown: --layout {NAME} keeps each child in one split"


def list_source(src: Path, options: SourceOptions) -> Listing:
    """Every image of the two classes, below split folders or not.

    Raises UsageError when there are no such folders.
    """
    options.refuse_columns(NAME)
    options.check_unlabelled(CLASSES)
    home = find_home(src, lambda f: bool(_split_folders(f) or _class_folders(f)), WRAPPER)
    if home is None:
        raise SourceError(f"{src}: no folders NORMAL and PNEUMONIA, below train|val|test or not")
    listing = Listing(layout=NAME, root=src, items=[], classes=CLASSES, patients=True)
    for split in _split_folders(src / home) or [""]:
        for class_folder in _class_folders(src / home / split):
            _list_class(listing, join(home, split, class_folder), split, options)
    listing.items.sort(key=lambda item: item.path)
    if home and (src / home / WRAPPER).is_dir():
        listing.note(f"the second copy of the images in {WRAPPER}/{WRAPPER} is left out")
    if options.groups:
        _note(listing)
    return listing


def child_of(file_name: str) -> str | None:
    """The child that a file name tells: `person12_virus_3.jpeg` -> `person12`; else None."""
    stem = Path(file_name).stem
    found = _PERSON.fullmatch(stem) or _NORMAL.fullmatch(stem)
    return found[1].lower() if found else None


def _name_children(paths: Sequence[str]) -> bool:
    return 2 * sum(child_of(path) is not None for path in paths) > len(paths)


def _split_folders(folder: Path) -> list[str]:
    """Folders called train, val or test that hold both classes; [] when there are none."""
    if not folder.is_dir():
        return []
    tops = [
        next((n for n in (name, name.capitalize(), name.upper()) if (folder / n).is_dir()), None)
        for name in ("train", "val", "valid", "test")
    ]
    return [top for top in tops if top is not None and _class_folders(folder / top)]


def _class_folders(folder: Path) -> list[str]:
    """The two class folders in any case; [] unless both are there."""
    found = [name for name in subfolders(folder) if name.upper() in CLASSES]
    return found if {name.upper() for name in found} == set(CLASSES) else []


def _list_class(listing: Listing, folder: str, split: str, options: SourceOptions) -> None:
    class_name = folder.rsplit("/", 1)[-1].upper()
    for file in walk_images(listing.root, below=folder):
        if file.failure is not None:
            listing.failures.append(file.failure)
            continue
        listing.items.append(
            SourceItem(
                path=file.path,
                class_name=options.label(class_name),
                split=SPLIT_ALIASES[split.lower()] if split else None,
                group=child_of(file.path) if options.groups else None,
            )
        )


def _note(listing: Listing) -> None:
    named = [item for item in listing.items if item.group is not None]
    listing.note(f"{len(named)} images of {len({i.group for i in named})} children by their names")
    if len(named) < len(listing.items):
        listing.note(f"{len(listing.items) - len(named)} names tell no child")
    if leaking := listing.leaking_groups():
        listing.note(
            f"the set's own split puts {leaking} children in more than one split (the test set "
            "may number its children anew); --split train=0.8,val=0.1,test=0.1 keeps each in one"
        )
