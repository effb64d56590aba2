"""Several ranks on one machine: each world is started once and runs all scenarios."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "medtrain"))


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """The folder with the run of every scenario, strategy and world size, and `checks-N.json`."""
    import scenarios
    import toy

    folder = tmp_path_factory.mktemp("worlds")
    toy.make_shards(folder / "shards", counts=scenarios.COUNTS, labels_of=scenarios.LABELS)
    scenarios.work(0, 1, folder)  # first: the others evaluate its weights
    scenarios.start((2, 3), folder)
    return folder
