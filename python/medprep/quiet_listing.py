"""Listing SRC without naming what is in it, where private mode is on or would be the default.

While SRC is being listed nobody knows yet whether it names patients. An error that comes up then
is therefore held back until a look at SRC has told.
"""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

from medprep import privacy
from medprep.errors import MedprepError, NoInputError, SourceError
from medprep.sources import Listing, SourceOptions, list_source, patient_layout, root_of
from medprep.sources.listing import is_dicom_file, is_hidden

_LOOKED_AT = 100_000  # entries; what is larger is taken for a collection of patients
_TABLE_BYTES = 2**20  # of a table, searched for names of DICOM files


def list_quietly(
    src: Path, *, layout: str, options: SourceOptions, private: bool | None
) -> Listing:
    """`list_source`, whose errors name nothing in SRC in private mode.

    private: None for the default, which is private for what `may_name_patients`.
    """
    try:
        return list_source(src, layout=layout, options=options)
    except Exception as error:
        if private is False or (private is None and not may_name_patients(src, layout)):
            raise
        names_only_src = isinstance(error, SourceError | NoInputError)
        raise privacy.without_names(error, src, listing=not names_only_src) from None


def may_name_patients(src: Path, layout: str) -> bool:
    """True when private mode is the default for SRC, as far as SRC can be listed.

    So too where nobody can tell: a folder that cannot be opened may hold anything.
    """
    if not src.exists():
        return False  # there is nothing in it to name
    try:
        return patient_layout(src, layout) or _holds_dicom(src)
    except (MedprepError, OSError, ValueError):
        return True


def _holds_dicom(src: Path) -> bool:
    if src.is_file() and _names_dicom(src):
        return True
    looked_at = 0
    for folder, folders, names in os.walk(root_of(src), onerror=_raise):
        folders[:] = [name for name in folders if not is_hidden(name)]
        looked_at += len(names)
        if looked_at > _LOOKED_AT:
            return True
        with os.scandir(folder) as entries:
            if any(is_dicom_file(entry) for entry in islice(entries, _LOOKED_AT)):
                return True
    return False


def _names_dicom(table: Path) -> bool:
    with table.open("rb") as stream:
        start = stream.read(_TABLE_BYTES).lower()
    return b".dcm" in start or b".dicom" in start


def _raise(error: OSError) -> None:
    raise error
