"""Layout `files`: images in any folders, without labels."""

from __future__ import annotations

from pathlib import Path

from medprep.sources.listing import Listing, walk_images
from medprep.sources.options import SourceOptions
from medprep.types import SPLIT_ALIASES, SourceItem

NAME = "files"


def matches(src: Path) -> str | None:
    """Any folder will do; `auto` tries this layout last."""
    return "images in folders that are no classes" if src.is_dir() else None


def list_source(src: Path, options: SourceOptions) -> Listing:
    """Every image below SRC. Top folders named train, val, test say the split if all are such."""
    options.refuse_columns(NAME)
    options.refuse_unlabelled(NAME)
    found = list(walk_images(src))
    paths = [file.path for file in found if file.failure is None]
    tops = {path.split("/", 1)[0] if "/" in path else "" for path in paths}
    in_splits = bool(tops) and all(top.lower() in SPLIT_ALIASES for top in tops)
    return Listing(
        layout=NAME,
        root=src,
        items=[
            SourceItem(
                path=path,
                split=SPLIT_ALIASES[path.split("/", 1)[0].lower()] if in_splits else None,
            )
            for path in paths
        ],
        failures=[file.failure for file in found if file.failure is not None],
    )
