"""What DICOM headers say about the items of any layout: the patient, and the allow-list.

Nothing else of a header goes further, and the patient only as a group, which is stored as a
pseudonym.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from medprep.sources.attributes import age_years, known, sex_code, view_code
from medprep.sources.listing import Listing, is_dicom_name
from medprep.sources.options import SourceOptions
from medprep.types import SourceItem

_AT_ONCE = 16384  # files; bounds what a large set keeps in memory


def add_headers(listing: Listing, options: SourceOptions) -> None:
    """Give DICOM items their group (with --group-by auto) and attributes, where they have none."""
    if listing.staged:
        return
    places = [at for at, item in enumerate(listing.items) if is_dicom_name(item.path)]
    if not places:
        return
    listing.patients = True
    if options.read_headers is None:
        listing.note("DICOM headers were not read: nothing is known of patients")
        return
    grouping = options.group_by == "auto" and listing.header_groups
    unreadable = nameless = grouped = 0
    for start in range(0, len(places), _AT_ONCE):
        chunk = places[start : start + _AT_ONCE]
        paths = [listing.items[at].path for at in chunk]
        for at, header in zip(chunk, options.read_headers(str(listing.root), paths), strict=True):
            if header.get("error"):
                unreadable += 1  # the decoder will say what is wrong with it
                continue
            item = listing.items[at]
            patient = str(header.get("patient_id") or "").strip()
            if grouping and item.group is None:
                nameless += not patient
                grouped += bool(patient)
                item = replace(item, group=patient or None)
            listing.items[at] = _with_attributes(item, header)
    _note_counts(listing, grouped=grouped, nameless=nameless, unreadable=unreadable)


def _with_attributes(item: SourceItem, header: Mapping[str, Any]) -> SourceItem:
    row, column = _spacing(header.get("spacing"))
    found = known(
        view=view_code(header.get("view")),
        sex=sex_code(header.get("sex")),
        age=age_years(header.get("age_years")),
        spacing_row_mm=row,
        spacing_column_mm=column,
    )
    if found is None:
        return item
    return replace(item, attributes={**found, **(item.attributes or {})})


def _spacing(value: Any) -> tuple[float | None, float | None]:  # noqa: ANN401 (from a header)
    """(row, column) in mm; (None, None) unless there are two positive numbers."""
    try:
        row, column = (float(number) for number in value)
    except (TypeError, ValueError):
        return None, None
    return (row, column) if 0 < row < 1e4 and 0 < column < 1e4 else (None, None)


def _note_counts(listing: Listing, *, grouped: int, nameless: int, unreadable: int) -> None:
    if grouped:
        patients = len({item.group for item in listing.items if item.group is not None})
        listing.note(f"{patients} patients by the PatientID of DICOM headers; each in one split")
    if nameless:
        listing.note(f"{nameless} DICOM files name no patient: each counts as one of its own")
    if unreadable:
        listing.note(f"{unreadable} DICOM headers cannot be read; their files will likely fail")
