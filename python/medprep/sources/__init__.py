"""Layouts: how a collection as downloaded becomes a list of items.

A layout is a module with `NAME`, `matches(src)` and `list_source(src, options)`; `LAYOUTS` is the
table of them, in the order in which `auto` tries them.
"""

from __future__ import annotations

from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Protocol

from medprep.errors import NoInputError, SourceError, UsageError
from medprep.sources import (
    arrays,
    coco,
    files,
    folder,
    fundus_pytorch,
    ham10000,
    headers,
    kermany,
    pmc_oa,
    rsna,
    rsna_mdai,
    skin35,
    smdg,
    subset,
    table,
    yolo,
)
from medprep.sources.listing import DECODED_SUFFIXES, Listing, Note
from medprep.sources.options import ReadHeaders, SourceOptions
from medprep.sources.patient_folders import are_patients, class_level_folder
from medprep.sources.unread import (
    note_packed_archives,
    note_unread_tables,
    note_wrapped_classes,
    packed_archives,
)

__all__ = [
    "LAYOUTS",
    "LAYOUT_NAMES",
    "Listing",
    "Note",
    "ReadHeaders",
    "SourceOptions",
    "list_source",
    "patient_layout",
    "root_of",
]


class Layout(Protocol):
    """What a layout module offers."""

    NAME: str

    def matches(self, src: Path) -> str | None:
        """What SRC is recognised by, in words; None when `auto` may not read it this way."""
        ...

    def list_source(self, src: Path, options: SourceOptions) -> Listing:
        """The items of SRC in path order."""
        ...


LAYOUTS: dict[str, Layout] = {
    # Ours, with a manifest that nothing else has.
    subset.NAME: subset,
    # Then known data sets: they know patients that a table or class folders beside do not.
    rsna.NAME: rsna,
    smdg.NAME: smdg,
    fundus_pytorch.NAME: fundus_pytorch,
    kermany.NAME: kermany,
    ham10000.NAME: ham10000,
    skin35.NAME: skin35,
    rsna_mdai.NAME: rsna_mdai,  # behind rsna: where both lie, Kaggle's tables are read
    # Then formats of annotations, which say more than the folders that their images lie in.
    coco.NAME: coco,
    yolo.NAME: yolo,
    pmc_oa.NAME: pmc_oa,
    table.NAME: table,
    arrays.NAME: arrays,
    folder.NAME: folder,
    files.NAME: files,
}
LAYOUT_NAMES = ("auto", *LAYOUTS)
_OF_FILES = frozenset({coco.NAME, pmc_oa.NAME, table.NAME, arrays.NAME})  # SRC may be a file
_OF_PATIENTS = frozenset({rsna.NAME, rsna_mdai.NAME, smdg.NAME, kermany.NAME, ham10000.NAME})
_PLAIN = frozenset({folder.NAME, files.NAME})  # whatever else it is, SRC is also such a folder


def list_source(src: Path, *, layout: str = "auto", options: SourceOptions) -> Listing:
    """The items of SRC; `auto` says in a note what it took SRC for, and by what.

    Raises UsageError for a wrong SRC or layout, NoInputError when SRC holds no images.
    """
    check_layout(layout)
    if not src.exists():
        raise SourceError(f"{src}: no such file or folder")
    found = _recognised(src) if layout == "auto" else []
    if not src.is_dir() and not found and layout not in _OF_FILES:
        raise SourceError(f"{src}: expected a folder of images, a table or an array file")
    name = found[0][0] if layout == "auto" else layout
    if layout == "auto" and name == folder.NAME and options.unlabelled is None:
        listing = _list_folders(src, options)
    else:
        listing = _list_as(name, src, options)
    if layout == "auto":
        listing.notes[:0] = _notes(found, listing)
        if listing.layout == folder.NAME and (advice := kermany.advice(listing)) is not None:
            listing.note(advice)
        if listing.layout in _PLAIN:
            note_unread_tables(listing, src)
            note_wrapped_classes(listing, src)
        note_packed_archives(listing, src)
    if not listing.items and not listing.failures:
        suffixes = ", ".join(sorted(DECODED_SUFFIXES)[:6])
        packed = (
            f"unpack the {count} archives in it" if (count := len(packed_archives(src))) else None
        )
        raise NoInputError(f"{src}: no images found (looked for {suffixes}, ...)", hint=packed)
    return listing


def _list_as(name: str, src: Path, options: SourceOptions) -> Listing:
    listing = LAYOUTS[name].list_source(src, options)
    headers.add_headers(listing, options)
    return listing


def _list_folders(src: Path, options: SourceOptions) -> Listing:
    """Folders of DICOM that look like patients are no classes: images without labels then."""
    try:
        listing = _list_as(folder.NAME, src, options)
    except UsageError:  # perhaps a folder without images, as of a patient with a report only
        with suppress(UsageError):
            listing = _list_as(files.NAME, src, options)
            if _of_patients(listing):
                return listing
        raise
    return _list_as(files.NAME, src, options) if _of_patients(listing) else listing


def _of_patients(listing: Listing) -> bool:
    if not listing.folder_patients:
        return False
    folders = {class_level_folder(item.path) for item in listing.items} - {None}
    return are_patients(listing.folder_patients, folders=len(folders))


def check_layout(name: str) -> None:
    """Raise UsageError with a suggestion unless `name` is a layout or `auto`."""
    if name in LAYOUT_NAMES:
        return
    close = get_close_matches(name, LAYOUT_NAMES, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"layouts: {', '.join(LAYOUT_NAMES)}"
    raise SourceError(f"unknown layout {name!r}", hint=hint)


def patient_layout(src: Path, layout: str) -> bool:
    """True when SRC, read as `layout`, names patients in its tables or file names.

    Raises UsageError or OSError when a folder or manifest in SRC cannot be read.
    """
    known = (name for name in LAYOUTS if name not in _PLAIN and LAYOUTS[name].matches(src))
    name = layout if layout != "auto" else next(known, None)
    return name in _OF_PATIENTS or (name == subset.NAME and subset.of_patients(src))


def root_of(src: Path) -> Path:
    """The folder that item paths are relative to: SRC, or a table's, or what SRC is a subset of."""
    if src.is_file():
        return src.parent
    return subset.source_of(src) if subset.matches(src) else src


def _recognised(src: Path) -> list[tuple[str, str]]:
    """(layout, evidence) of all that SRC can be read as, the most specific first."""
    found: list[tuple[str, str]] = []
    for name, layout in LAYOUTS.items():
        if found and name in _PLAIN:
            break
        evidence = layout.matches(src)
        if evidence is not None:
            found.append((name, evidence))
    return found


def _notes(found: list[tuple[str, str]], listing: Listing) -> list[Note]:
    name, evidence = found[0]
    if name == folder.NAME and listing.layout == files.NAME:
        count = len(listing.folder_patients)
        folders = (
            "a lone folder of DICOM"
            if count == 1
            else f"{count} folders of DICOM that look like patients"
        )
        return [
            Note(f"layout files, recognised by {folders}"),
            Note(
                "folders of patients or studies are no labels; --layout folder takes them for "
                "classes, whose names are stored"
            ),
        ]
    others = [other for other, _ in found[1:]]
    notes = [Note(f"layout {name}, recognised by {evidence}")]
    if others:
        notes.append(
            Note(f"it also looks like {', '.join(others)}; --layout {others[0]} reads it so")
        )
    return notes
