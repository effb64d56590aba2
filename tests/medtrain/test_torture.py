"""Ten kills at random file operations of a save; `make torture` does a hundred."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_runs_killed_inside_their_saves_end_with_the_undisturbed_bits():
    folder = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "torture.py", "--kills", "10", "--seed", "1"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": ":".join(p for p in sys.path if p), "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("10 kills inside a save, 10 runs ended with the undisturbed bits")
