"""What the user says about how SRC is to be read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from medprep.errors import SourceError, UsageError

ReadHeaders = Callable[[str, Sequence[str]], Sequence[dict[str, Any]]]
"""Reads headers: (root, relative paths) -> one dict each, as `_core.read_dicom_headers` does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """What shapes the listing.

    unlabelled: class whose samples get the label -1. group_by: auto, none or a column name.
    read_headers: who reads DICOM headers; None leaves them alone.
    paths_only: True when only the paths of the items matter: what needs files opened is left out.
    read_sizes: who reads height and width of upright images; only layout `yolo` needs them.
    """

    unlabelled: str | None = None
    group_by: str = "auto"
    read_headers: ReadHeaders | None = None
    read_sizes: ReadHeaders | None = None
    paths_only: bool = False

    @property
    def groups(self) -> bool:
        """False when --group-by none switches the layout's groups off."""
        return self.group_by != "none"

    def refuse_columns(self, layout: str) -> None:
        """Raise UsageError when a column is asked for in a layout that has none."""
        if self.group_by not in ("auto", "none"):
            raise SourceError(
                f"--group-by {self.group_by}: layout {layout!r} has no columns",
                hint="use --layout table with a CSV, or --group-by none",
            )

    def check_unlabelled(self, classes: Sequence[str]) -> None:
        """Raise UsageError with a suggestion when --unlabelled names none of the classes."""
        if self.unlabelled is None or self.unlabelled in classes:
            return
        close = get_close_matches(self.unlabelled, classes, n=1)
        names = ", ".join(sorted(set(classes)))
        hint = f"did you mean {close[0]!r}?" if close else f"classes: {names}"
        raise UsageError(f"--unlabelled {self.unlabelled}: no such class", hint=hint)

    def label(self, class_name: str | None) -> str | None:
        """The class as it is to be stored: None for the one that --unlabelled names."""
        return None if class_name == self.unlabelled else class_name

    def refuse_unlabelled(self, layout: str) -> None:
        """Raise UsageError when a class is named in a layout without labels."""
        if self.unlabelled is not None:
            raise SourceError(
                f"--unlabelled {self.unlabelled}: layout {layout!r} has no labels at all"
            )
