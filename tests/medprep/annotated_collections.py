"""A collection whose layout knows boxes, captions and attributes."""

from dataclasses import replace

import numpy as np
from PIL import Image
from tiny_collections import write_image

from medprep import quiet_listing
from medprep.types import Box

SIZES = {"a/wide.png": (40, 90), "a/tall.png": (77, 31), "b/square.png": (50, 50)}
BOX_CLASSES = ("opacity", "nodule")
UPRIGHT = "b/turned.jpg"
"""Stored as 30 rows of 64, upright 64 rows of 30."""


def write_annotated(root, *, copies=4, broken=True):
    """Images of several shapes, one that EXIF turns, one broken."""
    for copy in range(copies):
        for seed, (name, size) in enumerate(SIZES.items()):
            write_image(root / name.replace(".png", f"_{copy}.png"), 10 * copy + seed, size=size)
    turned = Image.fromarray(np.arange(30 * 64, dtype=np.uint32).reshape(30, 64).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    turned.save(root / UPRIGHT, exif=exif)
    if broken:
        (root / "a" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n no image")
    return root


def upright_size(path):
    """(height, width) of the image as boxes see it."""
    if path == UPRIGHT:
        return 64, 30
    return SIZES[f"{path.rsplit('_', 1)[0]}.png"]


def annotation(path):
    """What the made-up layout says about an image: from its name, so that tests can ask again."""
    if path.endswith("broken.png"):
        return {"boxes": (Box(0, 0, 9, 9),), "caption": "never stored"}
    height, width = upright_size(path)
    rng = np.random.default_rng(list(path.encode()))
    boxes = []
    for _ in range(int(rng.integers(0, 6))):
        x_min, x_max = np.sort(rng.uniform(-3, width + 3, 2))
        y_min, y_max = np.sort(rng.uniform(-3, height + 3, 2))
        boxes.append(Box(x_min, y_min, x_max, y_max, int(rng.integers(0, 2))))
    return {
        "boxes": tuple(boxes),
        "caption": None if "_1" in path else f"Größe <{path}>, \u2028 \N{LUNGS}",
        "attributes": {"age": 97.0, "sex": "F"} if "_2" in path else None,
    }


def annotate(monkeypatch, what=annotation, box_classes=BOX_CLASSES):
    """Let the listings of this process carry what `what(path)` says."""
    plain = quiet_listing.list_source

    def listed(*arguments, **keywords):
        listing = plain(*arguments, **keywords)
        listing.items = [replace(item, **what(item.path)) for item in listing.items]
        listing.box_classes = box_classes
        return listing

    monkeypatch.setattr(quiet_listing, "list_source", listed)
