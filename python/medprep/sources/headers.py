"""What DICOM headers say about the items of any layout: patient, frames, and the allow-list.

Nothing else of a header goes further, and the patient only as a group, which is stored as a
pseudonym.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from medprep.sources.attributes import age_years, known, sex_code, view_code
from medprep.sources.listing import Listing, begins_as_dicom, is_dicom_name, may_be_dicom
from medprep.sources.options import SourceOptions
from medprep.sources.patient_folders import class_level_folder
from medprep.types import SourceItem

_NOT_BUILT_IN = {  # transfer syntaxes 1.2.840.10008.1.2.4.N by N; the core refuses each by its name
    **dict.fromkeys(("80", "81"), "JPEG-LS"),
    **dict.fromkeys(("90", "91", "92", "93"), "JPEG 2000"),
    **dict.fromkeys(("201", "202", "203"), "HTJ2K"),
    **dict.fromkeys(("110", "111", "112"), "JPEG XL"),
    **dict.fromkeys(("100", "101", "102", "103", "107", "108"), "video"),
}
_PACKED = "1.2.840.10008.1.2.4."
_LOOKED_AT = 32  # files with the suffix of another format
_AT_ONCE = 16384  # files; bounds what a large set keeps in memory


def add_headers(listing: Listing, options: SourceOptions) -> None:
    """Give DICOM items their frames; group (--group-by auto) and attributes if they have none."""
    listing.patients |= any(is_dicom_name(failure.path or "") for failure in listing.failures)
    if listing.staged:
        return
    places = [at for at, item in enumerate(listing.items) if may_be_dicom(item.path)]
    if len(places) < len(listing.items) and _wear_other_suffixes(listing):
        places = list(range(len(listing.items)))
    if not places:
        return
    listing.patients |= any(is_dicom_name(listing.items[at].path) for at in places)
    if options.read_headers is None or options.paths_only:
        return
    counts: Counter[str | None] = Counter()
    for start in range(0, len(places), _AT_ONCE):
        chunk = places[start : start + _AT_ONCE]
        paths = [listing.items[at].path for at in chunk]
        headers = options.read_headers(str(listing.root), paths)
        for at, header in zip(chunk, headers, strict=True):
            if header.get("error"):
                # the decoder will say what is wrong with it, or that it is no DICOM after all
                counts["unreadable"] += is_dicom_name(listing.items[at].path)
            else:
                listing.patients = True
                counts["imageless"] += header.get("has_pixels") is False
                counts[_refused_kind(header)] += 1
                listing.items[at] = _with_header(
                    listing, listing.items[at], header, options, counts
                )
    _note_counts(listing, counts)


def _wear_other_suffixes(listing: Listing) -> bool:
    """True when DICOM is among files called .jpg, .png, ...; of an export all are, or none."""
    paths = [item.path for item in listing.items if not may_be_dicom(item.path)]
    some = paths[:: max(1, len(paths) // _LOOKED_AT)]
    return any(begins_as_dicom(f"{listing.root}/{path}") for path in some)


def _refused_kind(header: Mapping[str, Any]) -> str | None:
    """The name of a kind of compression that is not built in; None for all others."""
    syntax = str(header.get("transfer_syntax") or "")
    return _NOT_BUILT_IN.get(syntax.removeprefix(_PACKED)) if syntax.startswith(_PACKED) else None


def _with_header(
    listing: Listing,
    item: SourceItem,
    header: Mapping[str, Any],
    options: SourceOptions,
    counts: Counter[str | None],
) -> SourceItem:
    patient = str(header.get("patient_id") or "").strip()
    if (top := class_level_folder(item.path)) is not None:
        listing.folder_patients.setdefault(top, set()).update([patient] if patient else [])
    if options.group_by == "auto" and listing.header_groups and item.group is None:
        counts["grouped" if patient else "nameless"] += 1
        item = replace(item, group=patient or None)
    if (frames := int(header.get("frames") or 1)) > 1:
        counts["stacks"] += 1
        counts["frames"] += frames
        item = replace(item, frames=frames)
    return _with_attributes(item, header)


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


def _note_counts(listing: Listing, counts: Counter[str | None]) -> None:
    if counts["grouped"]:
        patients = len({item.group for item in listing.items if item.group is not None})
        listing.note(f"{patients} patients by the PatientID of DICOM headers; each in one split")
    if counts["nameless"]:
        listing.note(
            f"{counts['nameless']} DICOM files name no patient: each counts as one of its own"
        )
    if counts["stacks"]:
        listing.note(
            f"{counts['stacks']} DICOM files say they have several frames, {counts['frames']} in "
            "all; --frames all makes a sample of each, otherwise one is taken"
        )
    refused = {kind: counts[kind] for kind in sorted(set(_NOT_BUILT_IN.values())) if counts[kind]}
    if refused:
        kinds = ", ".join(f"{count} {kind}" for kind, count in refused.items())
        listing.note(f"DICOM files of kinds that are not built in, which will fail: {kinds}")
    if counts["imageless"]:
        listing.note(f"{counts['imageless']} DICOM files hold no image (reports): they will fail")
    if counts["unreadable"]:
        listing.note(
            f"{counts['unreadable']} DICOM headers cannot be read; their files will likely fail"
        )
