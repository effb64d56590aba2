"""How the tests of layouts make and list a miniature."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from list_miniatures import listing_of
from miniatures import MAKERS

from medprep.sources import Listing


@pytest.fixture
def list_of() -> Callable[..., Listing]:
    return listing_of


@pytest.fixture
def made(tmp_path: Path) -> Callable[[str], Path]:
    """Make a miniature by its name in `MAKERS`."""
    return lambda name: MAKERS[name](tmp_path / "src")
