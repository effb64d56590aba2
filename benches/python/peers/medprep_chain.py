"""medprep: the Rust core called image by image, as the `rust` kernel does."""

from __future__ import annotations

from medprep import _core
from peers import Chain, Recipe


def make(recipe: Recipe) -> Chain:
    spec_json = recipe.spec.canonical()
    return Chain(run=lambda data: _core.apply(data, spec_json), claims_opencv_pixels=True)
