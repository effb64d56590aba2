"""The bare JPEG decoder: C libjpeg-turbo's full, accurate decode through simplejpeg."""

from __future__ import annotations

import simplejpeg

from peers import Chain, Recipe


def make(recipe: Recipe) -> Chain:
    colorspace = "GRAY" if recipe.grey else "RGB"
    return Chain(
        run=lambda data: simplejpeg.decode_jpeg(data, colorspace), note="decodes, nothing else"
    )
