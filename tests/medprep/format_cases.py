"""A kind of file, what it must decode to, and the row of docs/formats.md that it makes.

Lists of cases are `dicom_cases.cases()` and its like; `test_formats.py` runs every case, and

    python tests/medprep/format_cases.py

runs them and writes their table between the markers of docs/formats.md.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medprep.errors import MedprepError

PAGE = Path(__file__).parents[2] / "docs" / "formats.md"
HEAD = ("format", "stored as", "photometric", "bits", "result")


@dataclass(frozen=True)
class Case:
    """One file. expected: the pixels, or how the message of a refusal begins.

    result: what the table says once the case has held.
    """

    format: str
    storage: str
    photometric: str
    bits: str
    data: bytes
    decode: Callable[[bytes], np.ndarray]
    expected: np.ndarray | str
    result: str

    def __str__(self) -> str:
        return f"{self.format}, {self.storage}, {self.photometric}, {self.bits}"


def check(case: Case) -> None:
    """Run the case; AssertionError when it does not hold."""
    if isinstance(case.expected, str):
        try:
            case.decode(case.data)
        except MedprepError as error:
            assert str(error).startswith(case.expected), f"{case}: {error}"
            return
        raise AssertionError(f"{case}: decoded, expected {case.expected!r}")
    pixels = case.decode(case.data)
    assert pixels.dtype == case.expected.dtype, f"{case}: {pixels.dtype}"
    np.testing.assert_array_equal(pixels, case.expected, err_msg=str(case))


def rows(cases: Iterable[Case]) -> list[tuple[str, ...]]:
    """Rows of the table; bits of one format, storage, photometric and result share a row."""
    bits: dict[tuple[str, str, str, str], list[str]] = {}
    for case in cases:
        check(case)
        key = (case.format, case.storage, case.photometric, case.result)
        bits.setdefault(key, []).append(case.bits)
    return [(*key[:3], ", ".join(found), key[3]) for key, found in bits.items()]


def table(cases: Iterable[Case]) -> str:
    lines = [HEAD, tuple("---" for _ in HEAD), *rows(cases)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def with_table(page: str, name: str, text: str) -> str:
    """The page with the text between its markers `<!-- name -->` and `<!-- /name -->`."""
    begin, end = f"<!-- {name} -->\n", f"\n<!-- /{name} -->"
    before, rest = page.split(begin)
    _, after = rest.split(end)
    return before + begin + text + end + after


def tables() -> dict[str, str]:
    """The generated tables by the names of their markers."""
    import dicom_cases  # they import this module
    import image_cases

    return {"dicom": table(dicom_cases.cases()), "images": table(image_cases.cases())}


def main() -> int:
    page = PAGE.read_text()
    for name, text in tables().items():
        page = with_table(page, name, text)
    PAGE.write_text(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
