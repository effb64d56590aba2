"""What a layout makes of SRC, and the guarded walk through folders that layouts share.

Nothing outside SRC is ever opened: links that lead out, special files and names that are not
UTF-8 become failures with a reason, not samples.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from medprep.errors import UsageError
from medprep.types import UNLABELLED_SPLIT, Failure, SourceItem

DECODED_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png"}
    | {".bmp", ".dcm", ".dicom", ".gif", ".tif", ".tiff", ".webp"}
)
_OTHER_IMAGES = frozenset(
    # Not decoded; listed so that they fail with a reason, not silently.
    {".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".jls", ".jxl", ".avif", ".heic", ".heif"}
    | {".psd", ".dds", ".ico", ".tga", ".pbm", ".pgm", ".ppm", ".pnm"}
)
IMAGE_SUFFIXES = DECODED_SUFFIXES | _OTHER_IMAGES
OTHER_SUFFIXES = frozenset(
    {".csv", ".tsv", ".tab", ".txt", ".json", ".jsonl", ".xml", ".html", ".htm", ".yaml", ".yml"}
    | {".md", ".pdf", ".doc", ".docx", ".xls", ".xlsx", ".zip", ".gz", ".tar", ".7z", ".npy"}
    | {".npz", ".parquet", ".nii", ".mha", ".h5", ".hdf5", ".mat", ".mp4", ".avi", ".py", ".ipynb"}
)
"""Common suffixes of files that are no images: these are not opened to see whether they are."""
_KNOWN_SUFFIXES = OTHER_SUFFIXES | IMAGE_SUFFIXES
_DICOM_SUFFIXES = frozenset({".dcm", ".dicom"})
_IGNORED_FOLDERS = frozenset({"__MACOSX"})
_MAX_NAME = 255  # bytes of one part of a path on Linux


class Note(NamedTuple):
    """What a user should know about how SRC was read; `example` is a name from SRC, or None."""

    text: str
    example: str | None = None

    def line(self, *, private: bool) -> str:
        """The note on one line; in private mode without the name."""
        shown = None if private else self.example
        return self.text if shown is None else f"{self.text}, first {shown!r}"


@dataclass(kw_only=True)
class Listing:
    """The inputs of one SRC in path order.

    root: the folder that item paths are relative to.
    failures: paths that were refused, with the reason.
    notes: what a user should know about how SRC was read; no text of theirs names a patient.
    classes: the classes in label order where the layout has an order of its own.
    box_classes: what the labels of the boxes mean, in label order; () without boxes.
    patients: True when names or tables of SRC identify people, so that private mode is the default.
    header_groups: False where the PatientID of a DICOM header is known not to be a patient.
    folder_patients: PatientIDs of the DICOM files below each folder that could be a class; the set
    is empty where headers name nobody.
    channels: `grey` or `rgb` where the layout knows it without opening images.
    staged: True when items are no files of SRC: `medprep.staging` makes files of them for a run.
    """

    layout: str
    root: Path
    items: list[SourceItem]
    failures: list[Failure] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    classes: tuple[str, ...] = ()
    box_classes: tuple[str, ...] = ()
    patients: bool = False
    header_groups: bool = True
    folder_patients: dict[str, set[str]] = field(default_factory=dict)
    channels: str | None = None
    staged: bool = False

    def note(self, text: str, example: str | None = None) -> None:
        """Add a note; `example` is a name from SRC, which private mode leaves out."""
        self.notes.append(Note(text, example))

    def leaking_groups(self) -> int:
        """How many groups have samples in more than one of SRC's own splits."""
        where: dict[str, set[str]] = {}
        for item in self.items:
            if item.group is not None and item.split not in (None, UNLABELLED_SPLIT):
                where.setdefault(item.group, set()).add(str(item.split))
        return sum(len(splits) > 1 for splits in where.values())

    @property
    def class_names(self) -> list[str]:
        """Classes in label order: the layout's own, by number when all are numbers, by name."""
        names = {item.class_name for item in self.items if item.class_name is not None}
        if self.classes:
            rest = sorted(names.difference(self.classes))
            return [name for name in self.classes if name in names] + rest
        if all(name.isascii() and name.isdigit() for name in names):
            return sorted(names, key=lambda name: (int(name), name))
        return sorted(names)

    @property
    def has_splits(self) -> bool:
        """True when SRC itself says splits, be it of some items only.

        What SRC sets aside because it has no labels is no such split.
        """
        return any(item.split not in (None, UNLABELLED_SPLIT) for item in self.items)


class PathGuard:
    """Decides whether a relative path names a regular file inside the root."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._folders: dict[str, str | None] = {}  # verdict per folder: most files share one

    def refuse(self, path: str) -> Failure | None:
        """None when the file may be read, else the failure to record."""
        stage, reason = self._reason(path) or (None, None)
        if stage is None or reason is None:
            return None
        return Failure(printable(path), stage, reason)

    def _reason(self, path: str) -> tuple[str, str] | None:
        if not is_utf8(path):
            return "plan", "the name is not UTF-8"
        if "\0" in path or not path.strip():
            return "plan", "not a path"
        pure = PurePosixPath(path)
        if pure.is_absolute() or ".." in pure.parts or "\\" in path:
            return "plan", "the path leaves SRC; paths must be relative and stay inside it"
        if str(pure) != path:  # one file under two spellings could end in two splits
            return (
                "plan",
                "not the shortest way to write the path (no '//', './' or '/' at the end)",
            )
        if any(is_hidden(part) for part in pure.parts):
            return "plan", "a hidden file or folder"
        if any(len(part.encode()) > _MAX_NAME for part in pure.parts):
            return "plan", "a name of more than 255 bytes"
        folder = str(pure.parent)
        if folder not in self._folders:
            self._folders[folder] = self._folder_reason(folder)
        if (reason := self._folders[folder]) is not None:
            return "plan", reason
        return self._file_reason(self._root / path)

    def _folder_reason(self, folder: str) -> str | None:
        resolved = Path(os.path.realpath(self._root / folder))
        if not resolved.is_relative_to(self._root):
            return "a folder of the path is a link that leaves SRC"
        return None

    def _file_reason(self, file: Path) -> tuple[str, str] | None:
        try:
            status = file.lstat()
            if stat.S_ISLNK(status.st_mode):
                if not Path(os.path.realpath(file)).is_relative_to(self._root):
                    return "plan", "a link that leaves SRC"
                status = file.stat()
        except OSError as error:
            return "read", f"cannot read: {error.strerror}"
        if not stat.S_ISREG(status.st_mode):
            return "read", "not a regular file"
        return None


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file of the walk: its path relative to the root, and why it is refused (or None)."""

    path: str
    failure: Failure | None


def walk_images(root: Path, *, below: str = "") -> Iterator[FoundFile]:
    """All files with an image suffix under root/below in path order; hidden ones are left out.

    Linked folders are not entered; one shows up as a refused path. Raises UsageError when a
    folder cannot be listed.
    """
    guard = PathGuard(root)
    folders = [below]
    found: list[FoundFile] = []
    while folders:
        folder = folders.pop()
        for entry in list_folder(root / folder):
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_dir(follow_symlinks=False):
                folders.append(path)
            elif _is_linked_folder(entry):
                reason = "a linked folder is not entered; name it as SRC or copy it"
                found.append(FoundFile(path, Failure(printable(path), "plan", reason)))
            elif is_image_name(entry.name) or _is_bare_dicom(entry):
                plain = entry.is_file(follow_symlinks=False) and is_utf8(path)
                found.append(FoundFile(path, None if plain else guard.refuse(path)))
    return iter(sorted(found, key=lambda file: file.path))


def list_folder(folder: Path) -> list[os.DirEntry[str]]:
    """The entries of a folder by name, without hidden ones."""
    try:
        with os.scandir(folder) as entries:
            return sorted(
                (e for e in entries if not is_hidden(e.name)), key=lambda entry: entry.name
            )
    except OSError as error:
        raise UsageError(f"{folder}: cannot list the folder: {error.strerror}") from None


def subfolders(folder: Path) -> list[str]:
    """Names of the real folders directly inside, without hidden ones, by name."""
    return [entry.name for entry in list_folder(folder) if entry.is_dir(follow_symlinks=False)]


def is_hidden(name: str) -> bool:
    """Dot files (.DS_Store, ._photo.jpg) and the folders that archivers leave behind."""
    return name.startswith(".") or name in _IGNORED_FOLDERS


def is_image_name(name: str) -> bool:
    """True when the suffix promises an image."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122 (10^7 names)


def is_dicom_name(path: str) -> bool:
    """True when the suffix promises DICOM."""
    return os.path.splitext(path)[1].lower() in _DICOM_SUFFIXES  # noqa: PTH122 (10^7 names)


def is_dicom_file(entry: os.DirEntry[str]) -> bool:
    """True for a name that promises DICOM, and for a file of no known kind that begins like it."""
    return is_dicom_name(entry.name) or _is_bare_dicom(entry)


def may_be_dicom(path: str) -> bool:
    """True unless the suffix promises an image of another format (DICOM often has no suffix)."""
    suffix = os.path.splitext(path)[1].lower()  # noqa: PTH122 (10^7 names)
    return suffix in _DICOM_SUFFIXES or suffix not in IMAGE_SUFFIXES


def is_utf8(path: str) -> bool:
    """False for names that the file system gave as other bytes."""
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def printable(path: str) -> str:
    """The path as text that can be written anywhere."""
    return path.encode("utf-8", "backslashreplace").decode("utf-8")


def _is_bare_dicom(entry: os.DirEntry[str]) -> bool:
    """Exports name files IM000001, by their UID, *.IMA, or by the patient; the preamble tells them.

    A DICOMDIR has the same preamble and no pixels: it is an index, which the walk does not need.
    """
    suffix = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122
    if suffix in _KNOWN_SUFFIXES or entry.name.upper() == "DICOMDIR":
        return False
    try:
        return entry.is_file(follow_symlinks=False) and begins_as_dicom(entry.path)
    except OSError:
        return False  # nothing promised an image


def begins_as_dicom(file: str) -> bool:
    """True when the file has DICOM's preamble; False when it cannot be read."""
    try:
        with open(file, "rb") as stream:  # noqa: PTH123 (a folder may hold 10^6 of them)
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _is_linked_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_symlink() and entry.is_dir()
    except OSError:  # a loop of links is no folder
        return False
