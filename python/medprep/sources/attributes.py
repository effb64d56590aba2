"""Age, sex and view from tables and headers, as far as the allow-list lets them through.

Free text never passes: what is not of the expected form is dropped, since a name or a record
number may stand anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

AGE_CAP = 90  # stands for 90 and over: rarer ages identify people
_AGE = re.compile(r"(\d{1,3}(?:\.\d+)?)([DWMY]?)", re.ASCII)
_PER_YEAR = {"": 1.0, "Y": 1.0, "M": 12.0, "W": 52.1775, "D": 365.2425}
_SEX = {"m": "M", "male": "M", "f": "F", "female": "F", "o": "O", "other": "O"}
_VIEWS = frozenset(
    {"AP", "PA", "LL", "RL", "LAO", "RAO", "LPO", "RPO", "RLD", "LLD", "RLO", "LLO", "LATERAL"}
    | {"CC", "MLO", "ML", "LM", "LMO", "XCCL", "XCCM", "XCC", "FB", "SIO", "ISO", "CV", "AT"}
)


def age_years(value: object) -> float | None:
    """Years from 51, "51", "051Y" or "018M", capped at 90; None when it is no age."""
    found = _AGE.fullmatch(str(value).strip().upper())
    if found is None:
        return None
    return min(float(found[1]) / _PER_YEAR[found[2]], float(AGE_CAP))


def sex_code(value: object) -> str | None:
    """`M`, `F` or `O`; None for everything else (numbers have no agreed meaning)."""
    return _SEX.get(str(value).strip().lower())


def view_code(value: object) -> str | None:
    """A view position of DICOM (PS3.3 C.8.1.1 and C.8.11.2) in capitals; None for other text."""
    view = str(value).strip().upper()
    return view if view in _VIEWS else None


def known(**values: str | float | None) -> Mapping[str, str | float] | None:
    """The values that there are; None when there are none."""
    found = {name: value for name, value in values.items() if value is not None}
    return found or None
