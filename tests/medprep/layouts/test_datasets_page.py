"""docs/datasets.md says what the layouts do now."""

import re

from datasets_page import MEANING, PAGE, updated

from medprep.sources import LAYOUTS


def test_the_tables_of_the_page_are_up_to_date(tmp_path):
    page = PAGE.read_text(encoding="utf-8")
    assert updated(page, tmp_path) == page, (
        "run `python tests/medprep/layouts/datasets_page.py` and commit docs/datasets.md"
    )


def test_the_page_explains_every_layout():
    assert MEANING.keys() == LAYOUTS.keys()
    page = PAGE.read_text(encoding="utf-8")
    for name in LAYOUTS:
        assert re.search(rf"^\| `{name}` \|", page, re.MULTILINE), name
