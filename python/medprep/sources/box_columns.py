"""Boxes in tables: which columns hold them, and from four texts to a rectangle."""

from __future__ import annotations

import math
from collections.abc import Sequence

from medprep.types import Box

CORNER_AND_SIZE = (("x", "y", "width", "height"), ("x", "y", "w", "h"))
TWO_CORNERS = (
    ("x_min", "y_min", "x_max", "y_max"),
    ("xmin", "ymin", "xmax", "ymax"),
    ("x1", "y1", "x2", "y2"),
)


def find_box_columns(names: Sequence[str]) -> tuple[tuple[int, int, int, int], bool] | None:
    """Positions of the four columns among normalised names, and True when two are sizes."""
    for kind, is_size in ((CORNER_AND_SIZE, True), (TWO_CORNERS, False)):
        for columns in kind:
            if all(column in names for column in columns):
                x, y, right, bottom = (names.index(column) for column in columns)
                return (x, y, right, bottom), is_size
    return None


def parse_box(fields: Sequence[str], *, is_size: bool, label: int = 0) -> Box | None:
    """The box of four texts, None when all are empty. Raises ValueError for anything else.

    Edges are in pixels of the image as the source gives it; right and bottom lie beyond left and
    top.
    """
    if not any(field.strip() for field in fields):
        return None
    try:
        x, y, right, bottom = (float(field) for field in fields)
    except ValueError:
        raise ValueError("a box must be four numbers") from None
    if is_size:
        right, bottom = x + right, y + bottom
    if not all(math.isfinite(edge) and abs(edge) < 1e9 for edge in (x, y, right, bottom)):
        raise ValueError("a box must be four finite numbers")
    if right <= x or bottom <= y:
        raise ValueError("a box must be wider and higher than nothing")
    return Box(x, y, right, bottom, label)
