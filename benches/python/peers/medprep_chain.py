"""medprep: the Rust core called image by image, as the `rust` kernel does."""

from __future__ import annotations

from dataclasses import replace

from medprep import _core
from medprep.steps import Clahe, Gamma, Median
from peers import Chain, Recipe


def make(recipe: Recipe) -> Chain:
    spec_json = recipe.spec.canonical()
    if recipe.is_post_chain:
        return _post_chain(recipe, spec_json)
    is_fast = recipe.spec.decode.fast
    return Chain(
        run=lambda data: _core.apply(data, spec_json),
        claims_opencv_pixels=not is_fast,
        note="decodes at a fraction of the size" if is_fast else "",
    )


def _post_chain(recipe: Recipe, spec_json: str) -> Chain:
    before = tuple(s for s in recipe.spec.steps if not isinstance(s, Clahe | Gamma | Median))
    resize_json = replace(recipe.spec, steps=before).canonical()
    return Chain(
        prepare=lambda data: _core.apply(data, resize_json),
        run=lambda image: _core.apply_to(image, spec_json),
        claims_opencv_pixels=True,
    )
