"""Keyed pseudonyms: who has the key can find a sample again, nobody else can.

id = first 32 hex digits of HMAC-SHA256(key, "sample" 0x00 path); groups likewise, so that the same
patient has the same pseudonym in every data set made with the same key.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from medprep.errors import MedprepError, PrivacyError, StorageError, UsageError
from medprep.storage import make_folder, write_atomically, write_once

_KEY_BYTES = 32
_MANY_CLASSES = 20  # fewer may be the classes of a small collection
_ID_DIGITS = 32  # 128 bits: no collision among 10^7 samples
# A quotation; an apostrophe (SRC's) follows a letter.
_QUOTED = re.compile(r"""(?<![A-Za-z0-9])['"`].*""", re.DOTALL)


class KeyedIds:
    """Pseudonyms under one secret key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def sample(self, path: str) -> str:
        """The id of the sample made from `path`."""
        return self._digest("sample", path)

    def group(self, name: str) -> str:
        """The pseudonym of a patient, lesion or paper."""
        return self._digest("group", name)

    def sources(self, paths: Iterable[str]) -> str:
        """What tells one set of listed files from another and names none of them."""
        hasher = hmac.new(self._key, b"sources", hashlib.sha256)
        for path in sorted(paths):
            hasher.update(b"\0" + path.encode("utf-8", "surrogateescape"))
        return hasher.hexdigest()

    @property
    def check(self) -> str:
        """A value that tells one key from another and gives nothing away."""
        return self._digest("check", "")[:16]

    def _digest(self, kind: str, value: str) -> str:
        message = kind.encode() + b"\0" + value.encode("utf-8", "surrogateescape")
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()[:_ID_DIGITS]


def default_key_file(out: Path) -> Path:
    """`medprep.key` beside OUT: one key for all data sets of a project folder."""
    return out.absolute().parent / "medprep.key"


def load_or_make_key(path: Path, *, out: Path) -> KeyedIds:
    """The key in `path`, which is made with mode 600 when it does not exist.

    Raises PrivacyError when the file lies inside OUT or others may read it, UsageError when it is
    not a key.
    """
    refuse_inside(path, out, "--key-file")
    try:
        return KeyedIds(_read_key(path))
    except FileNotFoundError:
        pass
    make_folder(path.parent)
    write_once(path, secrets.token_hex(_KEY_BYTES).encode() + b"\n", mode=0o600)
    return KeyedIds(_read_key(path))  # ours, or that of a parallel run that was faster


def write_private_map(
    path: Path, samples: Iterable[tuple[str, str, int | None]], *, out: Path
) -> None:
    """Write `{"id", "path"}` lines with mode 600, outside OUT.

    samples: id, path and, of a file with several, the frame, which is then in the line too.
    """
    refuse_inside(path, out, "--private-map")
    lines = (_map_line(*sample).encode() for sample in samples)
    write_atomically(path, lines, mode=0o600)


def _map_line(id_: str, path: str, frame: int | None) -> str:
    line: dict[str, str | int] = {"id": id_, "path": path}
    if frame is not None:
        line["frame"] = frame
    return json.dumps(line, ensure_ascii=False) + "\n"


def withhold(text: str) -> str:
    """A note without what it quotes: names from SRC stand in quotes, mostly at the end."""
    return _QUOTED.sub("(name withheld)", text)


@contextmanager
def nameless_errors(src: Path, *, private: bool, listing: bool = False) -> Iterator[None]:
    """In private mode, let no error out that names SRC or anything in it.

    Expected errors keep their class, stage and exit code; SRC becomes `SRC`. While `listing`, any
    part of a message may be a file name or a cell of a table, so only its kind and place are left.
    Unexpected errors, whose messages may quote anything, become one that names their place.
    """
    if not private:
        yield
        return
    try:
        yield
    except Exception as error:
        raise without_names(error, src, listing=listing) from None


def without_names(error: Exception, src: Path, *, listing: bool) -> MedprepError:
    """What private mode says in place of `error`; see `nameless_errors`."""
    if isinstance(error, MedprepError):
        return _listing_error(error) if listing else _without_src(error, src)
    if isinstance(error, OSError):
        reason = error.strerror or type(error).__name__
        return StorageError(f"{reason} ({place_of(error)})", stage="store")
    return MedprepError(f"internal error, please report it: {place_of(error)}")


def place_of(error: BaseException) -> str:
    """`KeyError at medprep/plan.py:12`: what is wrong with the code, nothing of the data."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return type(error).__name__
    file = Path(frames[-1].filename)
    return f"{type(error).__name__} at {file.parent.name}/{file.name}:{frames[-1].lineno}"


def refuse_names_as_classes(
    classes: Sequence[str], *, items: int, layout: str, dicom: bool
) -> None:
    """Raise PrivacyError where folders taken for classes look like one folder per patient.

    dicom: True where they hold DICOM, of which a patient often has many files.
    """
    if layout != "folder" or len(classes) < _MANY_CLASSES:
        return
    if 4 * len(classes) < items and not dicom:
        return
    raise PrivacyError(
        f"{len(classes)} folders for {items} images: these look like patients, not classes, and "
        "class names are stored as they are",
        hint="use --layout files, or --layout folder if they are classes",
    )


def _listing_error(error: MedprepError) -> MedprepError:
    return type(error)(
        f"SRC cannot be listed as asked: {place_of(error)}; names are withheld in private mode",
        stage=error.stage,
        hint="`medprep shard SRC OUT --keep-paths --dry-run` shows them, for your eyes only",
    )


def _without_src(error: MedprepError, src: Path) -> MedprepError:
    names = sorted({str(path) for path in (src, src.absolute(), src.resolve())}, key=len)

    def clean(text: str | None) -> str | None:
        for name in reversed(names if len(names[0]) > 1 else names[1:]):
            text = text and text.replace(name, "SRC")
        return text

    return type(error)(
        clean(error.message) or "",
        path=clean(error.path),
        stage=error.stage,
        hint=clean(error.hint),
    )


def refuse_inside(path: Path, out: Path, flag: str) -> None:
    """Raise PrivacyError when `path` lies inside OUT, which is made to be passed on."""
    if path.resolve().is_relative_to(out.resolve()):
        raise PrivacyError(
            f"{flag} {path}: lies inside {out}, which is made to be passed on",
            hint="choose a place outside OUT",
        )


def _read_key(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            if os.fstat(stream.fileno()).st_mode & 0o077:
                raise PrivacyError(
                    f"--key-file {path}: others may read it", hint=f"chmod 600 {path}"
                )
            key = stream.read(4096).strip()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UsageError(f"--key-file {path}: cannot read: {error.strerror}") from None
    if len(key) < _KEY_BYTES:
        raise UsageError(
            f"--key-file {path}: {len(key)} bytes are too few for a key, expected {_KEY_BYTES}",
            hint="name a file that does not exist to have a key made",
        )
    return key
