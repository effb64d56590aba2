"""Layout `folder`: one folder per class, below folders per split or not.

`SRC/normal/...` and `SRC/train/normal/...`; val may be called val, valid or validation.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from medprep.errors import SourceError, UsageError
from medprep.sources.listing import (
    Listing,
    is_image_name,
    list_folder,
    subfolders,
    walk_images,
)
from medprep.sources.options import SourceOptions
from medprep.types import SPLIT_ALIASES, SourceItem

NAME = "folder"
_NOT_CLASSES = frozenset({"images", "image", "imgs", "img", "data", "photos", "pictures"})

_WITHOUT_LABEL = frozenset({"unlabelled", "unlabeled"})


@dataclass(frozen=True, slots=True)
class _ClassFolder:
    path: str
    class_name: str
    split: str | None


def matches(src: Path) -> str | None:
    """Folders that can be classes (a lone `images/` is not one), below split folders or not."""
    if not src.is_dir():
        return None
    folders = subfolders(src)
    if not folders or (len(folders) == 1 and folders[0].lower() in _NOT_CLASSES):
        return None
    splits = _split_folders(src, folders)
    if not splits:
        return f"{len(folders)} class folders"
    if not any(subfolders(src / name) for name in splits):
        return None
    return f"class folders below {', '.join(splits)}"


def list_source(src: Path, options: SourceOptions) -> Listing:
    """Every image below the class folders.

    Raises UsageError when there are no class folders, when one is empty (it is named), and when
    --unlabelled names none of them.
    """
    options.refuse_columns(NAME)
    folders = _class_folders(src)
    options.check_unlabelled([folder.class_name for folder in folders])
    listing = Listing(layout=NAME, root=src, items=[])
    for folder in folders:
        _list_class(listing, folder, options.unlabelled)
    listing.items.sort(key=lambda item: item.path)
    _note_stray_images(listing, src, folders)
    _note_unlabelled(listing)
    return listing


def _class_folders(src: Path) -> list[_ClassFolder]:
    folders = subfolders(src)
    splits = _split_folders(src, folders)
    found = (
        [_ClassFolder(name, name, None) for name in folders]
        if not splits
        else [
            _ClassFolder(f"{top}/{name}", name, SPLIT_ALIASES[top.lower()])
            for top in splits
            for name in subfolders(src / top)
        ]
    )
    if not found:
        raise SourceError(
            f"{src}: no class folders", hint="use --layout files for images without labels"
        )
    return found


def _split_folders(src: Path, folders: list[str]) -> list[str]:
    """The folders that are splits; empty when the folders are classes. Mixtures are refused."""
    splits = [name for name in folders if name.lower() in SPLIT_ALIASES]
    others = [name for name in folders if name.lower() not in SPLIT_ALIASES]
    if splits and others and any(SPLIT_ALIASES[name.lower()] == "train" for name in splits):
        raise UsageError(
            f"{src}: {splits[0]!r} is a split but {others[0]!r} is not",
            hint="move the other folders away, or list the files in a CSV (--layout table)",
        )
    return [] if others else splits


def _list_class(listing: Listing, folder: _ClassFolder, unlabelled: str | None) -> None:
    found = list(walk_images(listing.root, below=folder.path))
    if not found:
        raise UsageError(
            f"{listing.root / folder.path}: the class folder holds no images",
            hint="remove it, or put the images there",
        )
    label = None if folder.class_name == unlabelled else folder.class_name
    listing.items += [
        SourceItem(path=file.path, class_name=label, split=folder.split)
        for file in found
        if file.failure is None
    ]
    listing.failures += [file.failure for file in found if file.failure is not None]


def _note_unlabelled(listing: Listing) -> None:
    """A folder of images without labels is a class like any other, unless the user says so."""
    for name in listing.class_names:
        if name.lower() in _WITHOUT_LABEL:
            listing.note(
                f"images of the folder {name} count as a class of that name; --unlabelled {name} "
                "stores them without a label"
            )


def _note_stray_images(listing: Listing, src: Path, folders: list[_ClassFolder]) -> None:
    """Say how many images lie beside the class folders, where they have no label."""
    parents = sorted({str(Path(folder.path).parent) for folder in folders} | {"."})
    strays = [
        f"{parent}/{entry.name}" if parent != "." else entry.name
        for parent in parents
        for entry in list_folder(src / parent)
        if is_image_name(entry.name) and not entry.is_dir()
    ]
    if strays:
        listing.note(f"left out {len(strays)} images that lie in no class folder", strays[0])
