"""Pillow: full decode, box resize (its area), point table, median. It has no CLAHE."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageFilter

from medprep.kernels.python import gamma_table
from peers import Chain, Recipe


def make(recipe: Recipe) -> Chain:
    mode = "L" if recipe.grey else "RGB"
    size = (recipe.width, recipe.height)
    table = None
    if recipe.gamma is not None:
        table = gamma_table(recipe.gamma).tolist() * len(mode)
    median = None if recipe.median is None else ImageFilter.MedianFilter(recipe.median)

    def run(data: bytes) -> np.ndarray:
        # No draft mode: its scaled decode gives other pixels than the resize asked for.
        with Image.open(io.BytesIO(data)) as opened:
            image = opened.convert(mode).resize(size, Image.Resampling.BOX)
        if table is not None:
            image = image.point(table)
        return np.asarray(image if median is None else image.filter(median))

    return Chain(run=run, note="" if recipe.clip_limit is None else "without CLAHE: less work")
