"""Folders that are people: a hospital exports one folder per patient or study, not per class.

Names of classes are stored as they are, also in private mode; the name of a patient must not become
one because nobody said what the folders mean.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Set

from medprep.types import SPLIT_ALIASES

_FEW = 3  # folders; of fewer, one patient each proves nothing
_SHORTEST_ID = 4  # characters; a shorter PatientID stands in other names by chance
# DICOM writes persons as Family^Given; the others are UIDs, dates and record numbers.
_PERSONAL = re.compile(r"\^|\d{6}|^\d{5}$|^\d+(?:\.\d+){3,}$", re.ASCII)


def class_level_folder(path: str) -> str | None:
    """The folder that layout `folder` takes for a class; None for a file in none."""
    parts = path.split("/")[:-1]
    if parts and parts[0].lower() in SPLIT_ALIASES:
        parts = parts[1:]
    return parts[0] if parts else None


def are_patients(patients: Mapping[str, Set[str]], *, folders: int) -> bool:
    """True when class-level folders of DICOM look like patients, studies or visits.

    patients: the PatientIDs below each folder that holds DICOM. folders: how many there are, with
    those of other images. So it is when a folder is named as DICOM names people and studies, or by
    a PatientID in it; when there is one folder only, which is no classification; and when
    nearly each of three or more shows a single patient, and not all of them the same two.
    """
    if not patients:
        return False
    if folders == 1 or any(_is_personal(name, ids) for name, ids in patients.items()):
        return True
    lone = [ids for ids in patients.values() if len(ids) == 1]
    different = set[str]().union(*lone)
    return 10 * len(lone) >= 9 * folders and len(different) >= _FEW


def _is_personal(name: str, ids: Set[str]) -> bool:
    folded = name.casefold()
    return _PERSONAL.search(name) is not None or any(
        len(told) >= _SHORTEST_ID and told.casefold() in folded for told in ids
    )
