"""What lies beside the images and is not read: tables without a path column, packed archives.

Labels that nobody reads are the worst kind of nothing: the run goes through, and every label is -1.
"""

from __future__ import annotations

from pathlib import Path

from medprep.sources.listing import Listing, subfolders
from medprep.sources.places import files_in, homes, lone_subfolder
from medprep.sources.rows import TABLE_SUFFIXES
from medprep.types import SPLIT_ALIASES, Failure

_SPREADSHEETS = (".xls", ".xlsx")
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar")


def note_unread_tables(listing: Listing, src: Path) -> None:
    """Say that tables lie in SRC, or in the lone folder inside, which the layout does not read."""
    names = _beside(src, (*TABLE_SUFFIXES, *_SPREADSHEETS))
    if names:
        listing.note(
            f"{len(names)} tables beside the images are not read: they lack a column of paths or "
            "labels, or their first path names no file; `medprep scan TABLE` says what is missing",
            names[0],
        )


def note_wrapped_classes(listing: Listing, src: Path) -> None:
    """Say that the lone folder in SRC, as archives unpack to, holds folders that may be classes."""
    lone = lone_subfolder(src) if src.is_dir() else None
    if lone is None or lone.lower() in SPLIT_ALIASES:
        return
    if len(inner := subfolders(src / lone)) > 1:
        listing.note(
            f"all images lie in one folder that holds {len(inner)} folders: name it as SRC if they "
            "are classes or splits",
            lone,
        )


def note_packed_archives(listing: Listing, src: Path) -> None:
    """Say that archives are packed where most of what a table names is not there."""
    missing = sum(_is_missing(failure) for failure in listing.failures)
    if missing > len(listing.items) and (count := len(packed_archives(src))):
        listing.note(f"{missing} images are missing and {count} archives are packed: unpack them")


def packed_archives(src: Path) -> list[str]:
    """Names of the archives in SRC or in the lone folder inside."""
    return _beside(src, _ARCHIVES)


def _beside(src: Path, suffixes: tuple[str, ...]) -> list[str]:
    if not src.is_dir():
        return []
    return [
        name for home in homes(src) for suffix in suffixes for name in files_in(src / home, suffix)
    ]


def _is_missing(failure: Failure) -> bool:
    return failure.stage == "read" and (
        "No such file" in failure.reason or "no image of this" in failure.reason
    )
