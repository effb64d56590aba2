"""The bare inflate of PNG: libdeflate, through the package `deflate`."""

from __future__ import annotations

import deflate

from peers import Chain, Recipe
from peers.inflate import inflate_chain


def make(recipe: Recipe) -> Chain:
    return inflate_chain(deflate.zlib_decompress)
