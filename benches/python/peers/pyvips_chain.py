"""pyvips: streamed decode, thumbnail (box, then Lanczos), hist_local on L, gamma, median."""

from __future__ import annotations

import os

os.environ.setdefault("VIPS_CONCURRENCY", "1")

import numpy as np
import pyvips

from peers import Chain, Recipe

LIGHTNESS = 2.55  # 8-bit levels per unit of L, which runs from 0 to 100


def make(recipe: Recipe) -> Chain:
    pyvips.cache_set_max(0)  # it would remember the results of the round before

    def equalize(image: pyvips.Image) -> pyvips.Image:
        window = (max(1, recipe.width // recipe.tiles), max(1, recipe.height // recipe.tiles))
        slope = max(1, round(recipe.clip_limit))
        if recipe.grey:
            return image.hist_local(*window, max_slope=slope)
        lab = image.colourspace("lab")
        lightness = (lab[0] * LIGHTNESS).cast("uchar").hist_local(*window, max_slope=slope)
        joined = (lightness / LIGHTNESS).bandjoin(lab[1:]).copy(interpretation="lab")
        return joined.colourspace("srgb")

    def run(data: bytes) -> np.ndarray:
        # Not thumbnail_buffer: its shrink-on-load is the scaled decode.
        image = pyvips.Image.new_from_buffer(data, "", access="sequential")
        image = image.thumbnail_image(recipe.width, height=recipe.height, size="force")
        image = image.colourspace("b-w" if recipe.grey else "srgb")
        if recipe.clip_limit is not None:
            image = equalize(image)
        if recipe.gamma is not None:
            image = image.gamma(exponent=recipe.gamma)
        return (image if recipe.median is None else image.median(recipe.median)).numpy()

    return Chain(run=run, note="Lanczos after box; CLAHE with a sliding window")
