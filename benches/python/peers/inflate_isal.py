"""The bare inflate of PNG: Intel's ISA-L, through the package `isal`."""

from __future__ import annotations

from isal import isal_zlib

from peers import Chain, Recipe
from peers.inflate import inflate_chain


def make(recipe: Recipe) -> Chain:
    return inflate_chain(lambda stream, size: isal_zlib.decompress(stream, bufsize=size))
