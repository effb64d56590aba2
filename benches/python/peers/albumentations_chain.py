"""albumentations: its transforms on top of OpenCV, composed once."""

from __future__ import annotations

import os

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the network for news otherwise

import albumentations
import cv2
import numpy as np

from peers import Chain, Recipe


def make(recipe: Recipe) -> Chain:
    cv2.setNumThreads(1)
    steps = [albumentations.Resize(recipe.height, recipe.width, interpolation=cv2.INTER_AREA)]
    if recipe.clip_limit is not None:
        grid = (recipe.tiles, recipe.tiles)
        steps.append(albumentations.CLAHE((recipe.clip_limit, recipe.clip_limit), grid, p=1))
    if recipe.gamma is not None:
        percent = 100 / recipe.gamma  # its gamma is the exponent, in per cent
        steps.append(albumentations.RandomGamma((percent, percent), p=1))
    if recipe.median is not None:
        steps.append(albumentations.MedianBlur((recipe.median, recipe.median), p=1))
    compose = albumentations.Compose(steps)

    def run(data: bytes) -> np.ndarray:
        encoded = np.frombuffer(data, np.uint8)
        if recipe.grey:
            image = cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE)
        else:
            image = cv2.cvtColor(cv2.imdecode(encoded, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        return compose(image=image)["image"]

    if recipe.gamma is None:
        return Chain(run=run, claims_opencv_pixels=True)
    return Chain(run=run, note="its gamma table truncates instead of rounding")
