"""Tiny made-up collections: class folders, tables, broken files."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image


def write_image(path: Path, seed: int, *, size=(20, 24), grey=False, quality=90):
    """A smooth random image of (height, width), so that JPEG keeps it small."""
    rng = np.random.default_rng(seed)
    shape = (4, 4) if grey else (4, 4, 3)
    coarse = rng.integers(0, 256, shape, dtype=np.uint8)
    image = Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        image.save(path)
    else:
        image.save(path, "JPEG", quality=quality)


def write_classes(root: Path, counts: dict, *, suffix=".jpg", grey=False):
    """root/<class>/<class>_<n>.jpg; sizes differ from image to image."""
    for at, (name, count) in enumerate(counts.items()):
        for number in range(count):
            path = root / name / f"{Path(name).name}_{number:03}{suffix}"
            size = (18 + number % 5, 20 + (number * 3) % 7)
            write_image(path, 1000 * at + number, size=size, grey=grey)
    return root


def write_table(path: Path, rows, header=("path", "label", "patient_id")):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])
    return path
