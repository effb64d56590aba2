"""Layout `yolo`: images and labels in twin folders, boxes as shares of width and height.

`images/train/x.jpg` with `labels/train/x.txt`, or `train/images` with `train/labels` (Roboflow);
class names from data.yaml. Only sizes of images are needed, and who reads those is given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from medprep.errors import SourceError, UsageError
from medprep.sources.box_columns import parse_box
from medprep.sources.listing import Listing, printable, walk_images
from medprep.sources.options import SourceOptions
from medprep.sources.places import find_home, join
from medprep.types import SPLIT_ALIASES, Box, Failure, SourceItem

NAME = "yolo"
_NAMES_FILES = ("data.yaml", "data.yml", "dataset.yaml")
_MAX_BYTES = 2**22  # of one text file
_TOP = SPLIT_ALIASES


def matches(src: Path) -> str | None:
    """Twin folders images/ and labels/ with a .txt beside an image's name."""
    home = find_home(src, lambda folder: bool(_twins(folder)))
    return "twin folders images/ and labels/" if home is not None else None


def list_source(src: Path, options: SourceOptions) -> Listing:
    """One item per image; without a text file it is an image without findings, as in YOLO.

    Raises UsageError when there are no twin folders or data.yaml is no mapping of names.
    """
    options.refuse_columns(NAME)
    options.refuse_unlabelled(NAME)
    home = find_home(src, lambda folder: bool(_twins(folder)))
    if home is None:
        raise SourceError(f"{src}: no folders images/ and labels/ with .txt files")
    if options.read_sizes is None:
        raise UsageError(f"layout {NAME!r} needs the sizes of images, which nobody reads here")
    listing = Listing(layout=NAME, root=src, items=[])
    texts: dict[str, str] = {}
    for images, labels, split in _twins(src / home):
        for file in walk_images(src, below=join(home, images)):
            if file.failure is not None:
                listing.failures.append(file.failure)
                continue
            below = file.path.removeprefix(join(home, images) + "/")
            own = SPLIT_ALIASES.get(below.split("/", 1)[0].lower()) if "/" in below else None
            listing.items.append(SourceItem(path=file.path, split=split or own))
            texts[file.path] = join(home, labels, str(Path(below).with_suffix(".txt")))
    listing.items.sort(key=lambda item: item.path)
    names = _class_names(src / home)
    _add_boxes(listing, texts, names, options)
    return listing


def _twins(folder: Path) -> list[tuple[str, str, str | None]]:
    """(folder of images, folder of labels, split or None)."""
    tops = [top for top in _TOP if (folder / top / "images").is_dir()]
    pairs = [(join(top, "images"), join(top, "labels"), SPLIT_ALIASES[top]) for top in tops]
    found: list[tuple[str, str, str | None]] = [*pairs] or [("images", "labels", None)]
    there = [p for p in found if (folder / p[0]).is_dir() and _has_texts(folder / p[1])]
    return [(images, labels, split) for images, labels, split in found] if there else []


def _has_texts(folder: Path) -> bool:
    """A .txt in the folder or one folder below."""
    return folder.is_dir() and any(
        next(place.glob("*.txt"), None) is not None
        for place in (folder, *(folder / top for top in _TOP))
        if place.is_dir()
    )


def _class_names(home: Path) -> tuple[str, ...]:
    """`names` of data.yaml: a list, or a mapping of numbers to names; () without the file."""
    file = next((home / name for name in _NAMES_FILES if (home / name).is_file()), None)
    if file is None:
        return ()
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise UsageError(f"{file}: too large for a list of names")
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{file}: cannot read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        raise UsageError(f"{file}: not valid YAML") from None
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, dict) and sorted(names) == list(range(len(names))):
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list):
        raise UsageError(f"{file}: 'names' must list the classes")
    return tuple(printable(str(name)) for name in names)


def _add_boxes(
    listing: Listing, texts: Mapping[str, str], names: Sequence[str], options: SourceOptions
) -> None:
    assert options.read_sizes is not None
    sizes = options.read_sizes(str(listing.root), [item.path for item in listing.items])
    kept: list[SourceItem] = []
    bare = highest = 0
    for item, size in zip(listing.items, sizes, strict=True):
        lines = _lines(listing.root, texts[item.path])
        bare += lines is None
        try:
            # a file whose header cannot be read fails when it is decoded, with the reason
            known = () if "error" in size else _boxes(lines or [], size, len(names))
        except ValueError as error:
            listing.failures.append(Failure(printable(item.path), "plan", str(error)))
            continue
        highest = max([highest, *(box.label + 1 for box in known)])
        kept.append(SourceItem(path=item.path, split=item.split, boxes=known))
    listing.items = kept
    listing.box_classes = tuple(names) or tuple(str(label) for label in range(highest))
    listing.note(
        f"{sum(len(i.boxes or ()) for i in kept)} boxes of {len(listing.box_classes)} classes"
    )
    if bare:
        listing.note(f"{bare} images have no text file: they count as images without findings")


def _lines(root: Path, text: str) -> list[str] | None:
    """The lines of a label file; None when there is none. A link is not followed."""
    file = root / text
    try:
        if file.is_symlink() or not file.is_file():
            return None
        with file.open("rb") as stream:
            return stream.read(_MAX_BYTES).decode("utf-8", "replace").splitlines()
    except OSError:
        return None


def _boxes(lines: Sequence[str], size: Mapping[str, object], classes: int) -> tuple[Box, ...]:
    """Boxes in pixels of the upright image. Raises ValueError for a line that is no box."""
    width, height = float(str(size["width"])), float(str(size["height"]))
    found = []
    for line in lines:
        if not (fields := line.split()):
            continue
        if len(fields) != 5 or not fields[0].isdigit() or (classes and int(fields[0]) >= classes):
            raise ValueError("a label line must be: class, centre x, centre y, width, height")
        box = parse_box(fields[1:], is_size=True, label=int(fields[0]))
        if box is None:
            raise ValueError("a label line without numbers")
        half_w, half_h = (box.x_max - box.x_min) / 2, (box.y_max - box.y_min) / 2
        found.append(
            Box(
                (box.x_min - half_w) * width,
                (box.y_min - half_h) * height,
                (box.x_max - half_w) * width,
                (box.y_max - half_h) * height,
                box.label,
            )
        )
    return tuple(found)
