"""Layout `arrays`: images and labels in .npz or .npy files, MedMNIST's names or X and y.

An item is `file.npz#train_images/17`. Engines read files, so `medprep.staging` writes the rows of
a run as lossless PNG into a folder inside OUT and removes it afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medprep.errors import SourceError, UsageError
from medprep.sources.array_files import SUFFIXES, ArrayInfo, read_headers, read_rows, read_small
from medprep.sources.listing import Listing, is_hidden
from medprep.sources.options import SourceOptions
from medprep.sources.places import files_in
from medprep.types import SPLIT_ALIASES, SourceItem

NAME = "arrays"
_SPLITS = "|".join(SPLIT_ALIASES)
_NAMES = {  # train_images, x_train, X; train_labels, y_train, y
    "images": re.compile(rf"(?:({_SPLITS})_)?(?:images|x)(?:_({_SPLITS}))?", re.IGNORECASE),
    "labels": re.compile(rf"(?:({_SPLITS})_)?(?:labels|y)(?:_({_SPLITS}))?", re.IGNORECASE),
}
_ROW = re.compile(r"(.*\.np[yz])#(?:(.*)/)?(\d+)", re.ASCII | re.IGNORECASE | re.DOTALL)
_LOOKED_AT = 64  # rows that tell whether floats are 0..1 or 0..255


@dataclass(frozen=True, slots=True)
class _Pair:
    """Images, their labels (or None) and the split that the names say (or None)."""

    split: str | None
    images: ArrayInfo
    labels: ArrayInfo | None


def matches(src: Path) -> str | None:
    """An array file or a folder of them, with names of images: *_images, x_*, X."""
    try:
        found = list(_pairs(src))
    except UsageError:
        # a damaged array file named as SRC is no other layout: reading it says what is wrong
        return "an array file" if src.is_file() else None
    return "arrays " + ", ".join(_short(pair) for pair in found[:3]) if found else None


def list_source(src: Path, options: SourceOptions) -> Listing:
    """One item per row of the image arrays.

    images: (N, H, W), (N, H, W, 1) or (N, H, W, 3), uint8, or floats of 0..1 or whole 0..255.
    labels: (N,) or (N, 1) whole numbers, or one-hot (N, K).
    Raises UsageError for other arrays, and for files that are damaged.
    """
    options.refuse_columns(NAME)
    root = src.parent if src.is_file() else src
    pairs = list(_pairs(src))
    if not pairs:
        raise SourceError(f"{src}: no arrays named like train_images and train_labels, or X and y")
    listing = Listing(layout=NAME, root=root, items=[], staged=True)
    several = len({pair.split for pair in pairs}) > 1 or pairs[0].split is not None
    for pair in pairs:
        check_images(root, pair.images)
        _list_pair(listing, pair, several)
    listing.channels = _channels([pair.images for pair in pairs])
    options.check_unlabelled(listing.class_names)
    if options.unlabelled is not None:
        listing.items = [
            replace(item, class_name=options.label(item.class_name)) for item in listing.items
        ]
    listing.items.sort(key=lambda item: item.path)
    listing.note("arrays name no patients: images of one patient may be in several splits")
    if any(pair.images.dtype.kind == "f" for pair in pairs):
        listing.note("float pixels are rounded to 8 bits")
    return listing


def row_of(path: str) -> tuple[str, str | None, int]:
    """(file, member or None, row) of an item's path. Raises UsageError for another path."""
    found = _ROW.fullmatch(path)
    if found is None:
        raise UsageError(f"{path}: not a row of an array file")
    return found[1], found[2], int(found[3])


def find_array(root: Path, file: str, member: str | None) -> ArrayInfo:
    """The array that `row_of` names. Raises UsageError when it is not there or damaged."""
    info = read_headers(root, file).get(Path(file).stem if member is None else member)
    if info is None:
        raise UsageError(f"{root / file}: no array {member or Path(file).stem}")
    return info


def check_images(root: Path, info: ArrayInfo) -> None:
    """Raise UsageError unless the array can be read as images."""
    shape, where = info.shape, f"{root / info.file}: {info.name}"
    if len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] not in (1, 3)):
        raise UsageError(
            f"{where} has shape {shape}, expected (N, H, W) or (N, H, W, 1 or 3)",
            hint="transpose channels to the end" if len(shape) == 4 else None,
        )
    if not info.in_c_order:
        raise UsageError(f"{where} is in Fortran order", hint="save it with np.ascontiguousarray")
    if info.dtype != np.uint8 and info.dtype.kind != "f":
        raise UsageError(
            f"{where} holds {info.dtype}, expected uint8 or floats", hint="convert it to uint8"
        )
    if 0 in shape[1:]:
        raise UsageError(f"{where} has images without pixels: {shape}")


def float_scale(root: Path, info: ArrayInfo) -> float:
    """What float pixels are multiplied with: 255 for 0..1, 1 for 0..255."""
    rows = list(range(min(_LOOKED_AT, info.shape[0])))
    highest = max((float(np.max(row)) for row in read_rows(root, info, rows)), default=0.0)
    return 255.0 if highest <= 1.0 else 1.0


def to_uint8(image: NDArray[np.generic], scale: float, where: str) -> NDArray[np.uint8]:
    """Float pixels as 8 bits, rounded half to even. Raises UsageError out of 0..255."""
    values = image.astype(np.float64) * scale
    if not np.all((values >= 0) & (values <= 255)):  # NaN is not
        wanted = "0..1" if scale == 255.0 else "0..255"
        raise UsageError(f"{where}: pixels outside {wanted}", hint="convert the array to uint8")
    return np.rint(values).astype(np.uint8)


def _pairs(src: Path) -> Iterator[_Pair]:
    """The images of SRC in file order, with their labels.

    A folder with a manifest.json is a finished data set, not a source.
    """
    if src.is_file():
        if src.suffix.lower() in SUFFIXES and not is_hidden(src.name):
            # X_train.npy named as SRC: its y_train.npy lies beside it
            names = [src.name] if src.suffix.lower() == ".npz" else _partners(src)
            yield from _pair(src.parent, names, only=src.stem)
        return
    if not src.is_dir() or (src / "manifest.json").exists():
        return
    for name in files_in(src, ".npz"):
        yield from _pair(src, [name])
    yield from _pair(src, files_in(src, ".npy"))


def _partners(file: Path) -> list[str]:
    return [name for name in files_in(file.parent, ".npy") if _role(Path(name).stem) is not None]


def _pair(root: Path, files: Sequence[str], only: str | None = None) -> Iterator[_Pair]:
    """Images and labels of the same split among the arrays of some files."""
    by_role: dict[str, dict[str | None, ArrayInfo]] = {"images": {}, "labels": {}}
    for file in files:
        if file.endswith(".npy") and _role(Path(file).stem) is None:
            continue
        for name, info in read_headers(root, file).items():
            if (role := _role(name)) is not None:
                by_role[role[0]].setdefault(role[1], info)
    for split, images in by_role["images"].items():
        if images.member is None and only is not None and Path(images.file).stem != only:
            continue
        yield _Pair(split, images, by_role["labels"].get(split))


def _role(name: str) -> tuple[str, str | None] | None:
    for role, pattern in _NAMES.items():
        found = pattern.fullmatch(name)
        if found is not None and not (found[1] and found[2]):
            split = found[1] or found[2]
            return role, SPLIT_ALIASES[split.lower()] if split else None
    return None


def _short(pair: _Pair) -> str:
    return f"{pair.split or 'all'} {'x'.join(map(str, pair.images.shape))}"


def _list_pair(listing: Listing, pair: _Pair, several: bool) -> None:
    count = pair.images.shape[0]
    names: Sequence[str | None] = [None] * count
    if pair.labels is not None:
        names = _class_names(listing.root, pair.labels, count)
    slash = "#" if pair.images.member is None else "/"
    listing.items += [
        SourceItem(
            path=f"{pair.images.name}{slash}{row}",
            class_name=name,
            split=(pair.split or "train") if several else None,
        )
        for row, name in enumerate(names)
    ]


def _class_names(root: Path, info: ArrayInfo, count: int) -> list[str]:
    labels, where = read_small(root, info), f"{root / info.file}: {info.name}"
    if labels.ndim == 0 or labels.shape[0] != count:
        raise UsageError(f"{where} has shape {labels.shape}, but there are {count} images")
    values = labels.reshape(count, -1).astype(np.float64)
    if values.shape[1] > 1:
        if not np.all(((values == 0) | (values == 1)).all(axis=1) & (values.sum(axis=1) == 1)):
            raise UsageError(
                f"{where} has several labels per image", hint="one class per image is read"
            )
        return [str(k) for k in values.argmax(axis=1)]
    if not np.all(np.isfinite(values) & (values == np.rint(values)) & (values >= 0)):
        raise UsageError(f"{where}: labels must be whole numbers from 0 on")
    return [str(int(value)) for value in values[:, 0]]


def _channels(arrays: Sequence[ArrayInfo]) -> str:
    return "rgb" if any(info.shape[3:] == (3,) for info in arrays) else "grey"
