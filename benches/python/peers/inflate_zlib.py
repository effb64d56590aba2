"""The bare inflate of PNG: the zlib that Python was built with, where nothing faster is there."""

from __future__ import annotations

import zlib

from peers import Chain, Recipe
from peers.inflate import inflate_chain


def make(recipe: Recipe) -> Chain:
    return inflate_chain(lambda stream, size: zlib.decompress(stream, bufsize=size))
