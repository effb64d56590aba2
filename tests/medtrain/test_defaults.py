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


def rows_of(repository):
    """(key, default, why, what is behind it) of every line of the table."""
    text = (repository / "docs" / "defaults.md").read_text(encoding="utf-8")
    return re.findall(
        r"^\| `([\w.]+)` \| `(.*?)` \| ([^|]+) \| ([^|]+) \|$", text, flags=re.MULTILINE
    )


def test_every_default_is_in_the_table_with_its_reason(repository):
    rows = rows_of(repository)
    stated = {key: value for key, value, _, _ in rows}
    expected = {key: written(value) for key, value in settings(Config().to_dict())}
    assert stated == expected and len(rows) == len(expected)
    assert all(len(reason) > 8 for _, _, reason, _ in rows)


def test_behind_every_default_is_a_paper_a_command_or_the_study(repository):
    paper = r"[A-Z][\w-]+ (et al\. |& [A-Z][\w-]+ )?(19|20)\d\d"
    for key, _, _, behind in rows_of(repository):
        files = re.findall(r"`((?:benches|tests)/[\w/]+\.py)`", behind)
        assert all((repository / file).is_file() for file in files), (key, files)
        command = "`medtrain " in behind
        assert files or command or "[study]" in behind or re.search(paper, behind), key


def test_tests_that_the_table_names_are_there(repository):
    for key, _, _, behind in rows_of(repository):
        for file, words in re.findall(r"`(tests/[\w/]+\.py)` -k (\w+)", behind):
            text = (repository / file).read_text(encoding="utf-8")
            assert re.search(rf"^def test_\w*{words}", text, flags=re.MULTILINE), (key, words)
