"""The nouns that travel between modules: listed item, planned sample, stored sample, failure.

Shape letters used throughout the package: N samples, H height, W width, C channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

ImageU8 = NDArray[np.uint8]
JsonObject = dict[str, Any]

UNLABELLED = -1
"""The label of a sample without a class."""

UNLABELLED_SPLIT = "unlabelled"
"""The split of images that SRC sets aside because they have no labels; ratios never touch it."""

SPLIT_ALIASES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
"""Names that people give to the three usual splits, in lower case."""


ATTRIBUTES = ("view", "sex", "age", "spacing_row_mm", "spacing_column_mm")
"""The allow-list: nothing else of a DICOM header or a table of patients is ever stored.

age is in years, capped at 90 (which stands for 90 and over); the others are as DICOM has them.
"""


class Box(NamedTuple):
    """A rectangle by its edges, in pixels: x to the right, y down, (0, 0) the image's corner."""

    x_min: float
    y_min: float
    x_max: float
    y_max: float
    label: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceItem:
    """One input file as a layout lists it.

    path: POSIX path relative to SRC.
    class_name: the class, or None without a label.
    split: the split the layout itself says (a `val/` folder, a `split` column), or None.
    group: what must not cross splits (patient, lesion, paper), or None.
    boxes: the findings in the upright image, in pixels as the source gives them; () for an image
    known to have none, None where the layout knows no boxes.
    caption: the text that belongs to the image, or None.
    attributes: what may be kept of a header or a table, by the names of `ATTRIBUTES`.
    frames: how many images the file says it has. frame: which of them this is, from 0; None is
    the file, of whose frames the pipeline takes one.
    """

    path: str
    class_name: str | None = None
    split: str | None = None
    group: str | None = None
    boxes: tuple[Box, ...] | None = None
    caption: str | None = None
    attributes: Mapping[str, str | float] | None = None
    frames: int = 1
    frame: int | None = None

    @property
    def name(self) -> str:
        """The path, with `#` and the number of the frame where it is one of several."""
        if self.frame is None:
            return self.path
        return f"{self.path}#{self.frame:0{len(str(self.frames - 1))}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedSample:
    """One line of the plan: which file becomes which sample, decided before anything runs.

    id: relative path, `path#frame` of a frame, or a keyed pseudonym of these in private mode.
    group: the pseudonym to store, or None.
    boxes, caption, attributes, frame: as in `SourceItem`.
    """

    id: str
    path: str
    label: int
    split: str
    group: str | None
    boxes: tuple[Box, ...] | None = None
    caption: str | None = None
    attributes: Mapping[str, str | float] | None = None
    frame: int | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """An input that did not become a sample.

    path: relative to SRC; None in private mode, where `id` stands for it.
    stage: `plan`, `read`, `decode`, a step's name.
    """

    path: str | None
    stage: str
    reason: str
    id: str | None = None

    def to_json(self) -> JsonObject:
        """The object as it stands in the plan and in `failures.jsonl`."""
        names = {"id": self.id, "path": self.path}
        known = {key: value for key, value in names.items() if value is not None}
        return {**known, "stage": self.stage, "reason": self.reason}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageShape:
    """Height, width, channels and dtype that every stored image of a data set has."""

    height: int
    width: int
    channels: int
    dtype: str = "uint8"

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        return self.height, self.width, self.channels

    @property
    def bytes(self) -> int:
        """Bytes of one image."""
        return self.height * self.width * self.channels * np.dtype(self.dtype).itemsize

    def to_json(self) -> JsonObject:
        """The object as it stands in the plan and the manifest."""
        return {
            "height": self.height,
            "width": self.width,
            "channels": self.channels,
            "dtype": self.dtype,
        }


class Sample(NamedTuple):
    """One stored sample; `image` (H, W, C) is a read-only view into the mapped shard.

    boxes: (M, 5) float32, rows of x_min, y_min, x_max, y_max in stored pixels and label; None when
    the data set has no boxes. caption: None when the image has none.
    """

    image: NDArray[Any]
    label: int
    id: str
    group: str | None
    split: str
    boxes: NDArray[np.float32] | None = None
    caption: str | None = None
