"""What the user says about how SRC is to be read."""

from __future__ import annotations

from dataclasses import dataclass

from medprep.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """unlabelled: class whose samples get the label -1. group_by: auto, none or a column name."""

    unlabelled: str | None = None
    group_by: str = "auto"

    def refuse_columns(self, layout: str) -> None:
        """Raise UsageError when a column is asked for in a layout that has none."""
        if self.group_by not in ("auto", "none"):
            raise UsageError(
                f"--group-by {self.group_by}: layout {layout!r} has no columns",
                hint="use --layout table with a CSV, or --group-by none",
            )

    def refuse_unlabelled(self, layout: str) -> None:
        """Raise UsageError when a class is named in a layout without labels."""
        if self.unlabelled is not None:
            raise UsageError(
                f"--unlabelled {self.unlabelled}: layout {layout!r} has no labels at all"
            )
