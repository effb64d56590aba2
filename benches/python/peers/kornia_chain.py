"""kornia-rs on the CPU: bilinear resize (it has no area), Lab in float, the rest in 8 bits."""

from __future__ import annotations

import os

os.environ.setdefault("RAYON_NUM_THREADS", "1")

import numpy as np
from kornia_rs import imgproc
from kornia_rs.image import Image

from medprep.kernels.python import gamma_table
from peers import Chain, Recipe

LIGHTNESS = 2.55  # 8-bit levels per unit of L, which runs from 0 to 100


def make(recipe: Recipe) -> Chain:
    mode = "L" if recipe.grey else "RGB"
    table = None if recipe.gamma is None else gamma_table(recipe.gamma)

    def equalize(image: np.ndarray) -> np.ndarray:
        grid = (recipe.tiles, recipe.tiles)
        if recipe.grey:
            return imgproc.clahe(image, recipe.clip_limit, grid)
        lab = imgproc.lab_from_rgb(image.astype(np.float32) / 255)
        lightness = np.rint(lab[:, :, :1] * LIGHTNESS).astype(np.uint8)
        lab[:, :, :1] = imgproc.clahe(lightness, recipe.clip_limit, grid) / np.float32(LIGHTNESS)
        return np.rint(imgproc.rgb_from_lab(lab).clip(0, 1) * 255).astype(np.uint8)

    def run(data: bytes) -> np.ndarray:
        image = Image.decode(data, mode=mode).resize(recipe.width, recipe.height).numpy()
        if recipe.clip_limit is not None:
            image = equalize(image)
        if table is not None:
            image = table[image]
        return image if recipe.median is None else imgproc.median_blur(image, recipe.median)

    return Chain(run=run, note="bilinear instead of area, Lab in float")
