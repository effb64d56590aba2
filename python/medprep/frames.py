"""Multi-frame files: one sample for every frame (`--frames all`).

The frames of a file show the same patient: they carry its label, caption and attributes, and
`medprep.split` keeps them in one split.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from medprep.types import Failure, SourceItem

MAX_FRAMES = 10_000  # of a file, as in the core: a header may claim any number


def expand_frames(items: Sequence[SourceItem]) -> tuple[list[SourceItem], list[Failure]]:
    """An item for every frame of every file, and a failure for each file that cannot have them.

    Items of one image stay as they are.
    """
    expanded: list[SourceItem] = []
    failures: list[Failure] = []
    paths = {item.path for item in items}
    for item in items:
        if item.frames == 1:
            expanded.append(item)
        elif (reason := _refusal(item, paths)) is not None:
            failures.append(Failure(item.path, "plan", reason))
        else:
            expanded.extend(_frames_of(item))
    return expanded, failures


def _frames_of(item: SourceItem) -> Iterator[SourceItem]:
    return (replace(item, frame=frame) for frame in range(item.frames))


def _refusal(item: SourceItem, paths: set[str]) -> str | None:
    if item.frames > MAX_FRAMES:
        return f"number of frames is {item.frames}, over the limit of {MAX_FRAMES}"
    if item.boxes:
        return (
            f"boxes of a file with {item.frames} frames, and nothing says which frame they are on; "
            "--frames first or middle takes one"
        )
    # Names of a frame are unique unless a file is really called that.
    if any(frame.name in paths for frame in _frames_of(item)):
        return f"another file is named as one of its {item.frames} frames would be; rename it"
    return None
