"""Layouts: how a collection as downloaded becomes a list of items.

A layout is a module with `NAME`, `matches(src)` and `list_source(src, options)`; `LAYOUTS` is the
table of them, in the order in which `auto` tries them.
"""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Protocol

from medprep.errors import NoInputError, UsageError
from medprep.sources import files, folder, table
from medprep.sources.listing import IMAGE_SUFFIXES, Listing
from medprep.sources.options import SourceOptions

__all__ = ["LAYOUTS", "LAYOUT_NAMES", "Listing", "SourceOptions", "list_source", "root_of"]


class Layout(Protocol):
    """What a layout module offers."""

    NAME: str

    def matches(self, src: Path) -> bool:
        """True when `auto` may read SRC this way."""
        ...

    def list_source(self, src: Path, options: SourceOptions) -> Listing:
        """The items of SRC in path order."""
        ...


LAYOUTS: dict[str, Layout] = {
    # A table knows groups, which class folders beside it do not: it goes first.
    table.NAME: table,
    folder.NAME: folder,
    files.NAME: files,
}
LAYOUT_NAMES = ("auto", *LAYOUTS)


def list_source(src: Path, *, layout: str = "auto", options: SourceOptions) -> Listing:
    """The items of SRC. Raises UsageError for a wrong SRC or layout, NoInputError when empty."""
    check_layout(layout)
    if not src.exists():
        raise UsageError(f"{src}: no such file or folder")
    if not src.is_dir() and not table.matches(src):
        raise UsageError(f"{src}: expected a folder of images or a CSV")
    name = _detect(src) if layout == "auto" else layout
    listing = LAYOUTS[name].list_source(src, options)
    if not listing.items and not listing.failures:
        suffixes = ", ".join(sorted(IMAGE_SUFFIXES)[:6])
        raise NoInputError(f"{src}: no images found (looked for {suffixes}, ...)")
    return listing


def check_layout(name: str) -> None:
    """Raise UsageError with a suggestion unless `name` is a layout or `auto`."""
    if name in LAYOUT_NAMES:
        return
    close = get_close_matches(name, LAYOUT_NAMES, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"layouts: {', '.join(LAYOUT_NAMES)}"
    raise UsageError(f"unknown layout {name!r}", hint=hint)


def root_of(src: Path) -> Path:
    """The folder that item paths are relative to: SRC, or the folder of a table."""
    return src.parent if src.is_file() else src


def _detect(src: Path) -> str:
    return next(name for name, layout in LAYOUTS.items() if layout.matches(src))
