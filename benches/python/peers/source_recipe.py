"""The first source system's own recipe: Pillow Lanczos 224, float64 normalise, compressed NPZ.

As it was written: all images in memory, promoted to float64 by the mean and deviation, one
archive at the end, one process.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 224
MEAN = np.array([0.485, 0.456, 0.406])  # ImageNet, RGB
DEVIATION = np.array([0.229, 0.224, 0.225])


def normalised(path: Path) -> np.ndarray:
    """(224, 224, 3) float64."""
    with Image.open(path) as opened:
        image = opened.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    return (np.asarray(image) / 255.0 - MEAN) / DEVIATION


def write_data_set(files: Sequence[Path], out: Path) -> int:
    """Write one archive into OUT; returns the number of images."""
    images = np.stack([normalised(path) for path in files])
    np.savez_compressed(out / "train.npz", images=images, ids=np.array([p.name for p in files]))
    return len(images)
