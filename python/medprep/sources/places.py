"""Where in SRC the collection itself lies, and which files are there.

Archives unpack into folders of their own name, at times twice; what a table names is looked up
among the files that the guarded walk has found, so that no path of a table can leave SRC.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

from medprep.sources.listing import PathGuard, is_hidden, printable, walk_images
from medprep.types import Failure

_MAX_DEPTH = 5  # a download folder, and an archive that doubles its own
_MAX_ENTRIES = 1000  # a folder with more is no wrapper


def homes(src: Path, *names: str) -> Iterator[str]:
    """Folders where the collection may begin, outermost first, relative to SRC ("" is SRC).

    names: folders that its archive is known to unpack into, also doubled; besides these a folder
    is entered only when it is the lone one.
    """
    folder = ""
    for _ in range(_MAX_DEPTH):
        yield folder
        inner = next((n for n in names if (src / folder / n).is_dir()), None)
        inner = inner or lone_subfolder(src / folder)
        if inner is None or (src / folder / inner).is_symlink():
            return
        folder = join(folder, inner)


def find_home(src: Path, is_home: Callable[[Path], bool], *names: str) -> str | None:
    """The first of `homes` that is one, or None."""
    if not src.is_dir():
        return None
    return next((home for home in homes(src, *names) if is_home(src / home)), None)


def lone_subfolder(folder: Path) -> str | None:
    """The only folder directly inside; None when there are none, several or too many entries."""
    found = None
    try:
        with os.scandir(folder) as entries:
            for number, entry in enumerate(entries):
                if number == _MAX_ENTRIES:
                    return None
                if is_hidden(entry.name) or not entry.is_dir(follow_symlinks=False):
                    continue
                if found is not None:
                    return None
                found = entry.name
    except OSError:
        return None
    return found


def join(*parts: str) -> str:
    """The parts as one relative path; empty ones are left out."""
    return "/".join(part for part in parts if part)


def files_in(folder: Path, suffix: str) -> list[str]:
    """Names of files with the suffix directly inside a folder, by name, without hidden ones."""
    try:
        with os.scandir(folder) as entries:
            return sorted(
                entry.name
                for entry in islice(entries, 100 * _MAX_ENTRIES)
                if entry.name.lower().endswith(suffix)
                and not is_hidden(entry.name)
                and entry.is_file()
            )
    except OSError:
        return []


class ImageIndex:
    """The images of some folders of SRC: by path, and by name without folder and suffix."""

    def __init__(self, root: Path, folders: Iterable[str]) -> None:
        self._guard = PathGuard(root)
        self.paths: dict[str, Failure | None] = {}
        self.by_stem: dict[str, list[str]] = {}
        for folder in folders:
            for file in walk_images(root, below=folder):
                if file.path not in self.paths:
                    self.paths[file.path] = file.failure
                    stem = os.path.splitext(file.path.rsplit("/", 1)[-1])[0]  # noqa: PTH122
                    self.by_stem.setdefault(stem, []).append(file.path)

    def refuse(self, path: str) -> Failure | None:
        """None when the walk has found a readable file of this path, else the failure."""
        if path in self.paths:
            return self.paths[path]
        return self._guard.refuse(path) or Failure(printable(path), "plan", "not an image file")
