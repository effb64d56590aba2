"""Every kind of file in the table of docs/formats.md, and the table itself."""

from __future__ import annotations

import dicom_cases
import format_cases
import image_cases
import pytest
from format_cases import Case

CASES = [*dicom_cases.cases(), *image_cases.cases()]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_kind_of_file_decodes_to_its_pixels_or_is_refused_by_name(case: Case) -> None:
    format_cases.check(case)


def test_the_tables_of_the_formats_page_are_those_of_the_cases() -> None:
    page = format_cases.PAGE.read_text()
    for name, text in format_cases.tables().items():
        up_to_date = format_cases.with_table(page, name, text) == page
        assert up_to_date, "run python tests/medprep/format_cases.py and commit docs/formats.md"
