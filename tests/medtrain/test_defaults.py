"""docs/defaults.md names every setting with the default that the code has."""

import json
import re

from medtrain.config import Config


def settings(tree, prefix=""):
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from settings(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def written(value):
    return value if isinstance(value, str) else json.dumps(value)


def test_every_default_is_in_the_table_with_its_reason(repository):
    text = (repository / "docs" / "defaults.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w.]+)` \| `(.*?)` \| (.+) \|$", text, flags=re.MULTILINE)
    stated = {key: value for key, value, _ in rows}
    expected = {key: written(value) for key, value in settings(Config().to_dict())}
    assert stated == expected
    assert all(len(reason) > 8 for _, _, reason in rows)
