"""OpenCV, one thread: the baseline of every table."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from medprep.kernels.python import gamma_table
from peers import Chain, Recipe


def make(recipe: Recipe) -> Chain:
    cv2.setNumThreads(1)
    resized, finished = _resized(recipe), _finished(recipe)
    if recipe.is_post_chain:
        return Chain(prepare=resized, run=finished, claims_opencv_pixels=True)
    return Chain(run=lambda data: finished(resized(data)), claims_opencv_pixels=True)


def _resized(recipe: Recipe) -> Callable[[bytes], np.ndarray]:
    """From a file to the sample's size: grey or BGR."""
    size = (recipe.width, recipe.height)
    flag = cv2.IMREAD_GRAYSCALE if recipe.grey else cv2.IMREAD_COLOR

    def run(data: bytes) -> np.ndarray:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
        return cv2.resize(image, size, interpolation=cv2.INTER_AREA)

    return run


def _finished(recipe: Recipe) -> Callable[[np.ndarray], np.ndarray]:
    """All that follows the resize; to grey or RGB."""
    clahe = None
    if recipe.clip_limit is not None:
        clahe = cv2.createCLAHE(recipe.clip_limit, (recipe.tiles, recipe.tiles))
    table = None if recipe.gamma is None else gamma_table(recipe.gamma)

    def run(image: np.ndarray) -> np.ndarray:
        if recipe.grey:
            image = image if clahe is None else clahe.apply(image)
        elif clahe is None:
            image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        else:
            lab = cv2.cvtColor(image, cv2.COLOR_BGR2LAB)
            cv2.insertChannel(clahe.apply(cv2.extractChannel(lab, 0)), lab, 0)
            image = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
        if table is not None:
            image = cv2.LUT(image, table)
        return image if recipe.median is None else cv2.medianBlur(image, recipe.median)

    return run
