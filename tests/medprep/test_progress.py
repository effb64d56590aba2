"""Progress: a bar on a terminal, rare plain lines in a log, nothing with -q."""

import io

import pytest

from medprep.cli import progress as module
from medprep.cli.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """Seconds that the test sets."""
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_a_log_gets_one_plain_line_every_30_seconds(clock):
    stream = io.StringIO()
    progress = Progress(stream=stream).begin(1000)
    for second in range(1, 91):
        clock[0] = 100.0 + second
        progress(second * 10, second // 30, 0)
    progress.close()
    assert stream.getvalue().splitlines() == [
        "301/1000 images (30 %), 0 shards, 10 images/s, 1 failed, 1:09 left",
        "602/1000 images (60 %), 0 shards, 10 images/s, 2 failed, 0:39 left",
        "903/1000 images (90 %), 0 shards, 10 images/s, 3 failed, 0:09 left",
    ]


def test_a_terminal_gets_a_bar_that_is_taken_away(clock):
    stream = Terminal()
    progress = Progress(stream=stream).begin(4)
    for step in range(1, 5):
        clock[0] += 1
        progress(step, 0, 0)
    progress.close()
    assert "\r[#######                     ] 1/4 images (25 %)" in stream.getvalue()
    assert "\n" not in stream.getvalue()
    assert stream.getvalue().endswith(" \r")


def test_quiet_prints_nothing(clock):
    stream = Terminal()
    progress = Progress(enabled=False, stream=stream).begin(4)
    clock[0] += 60
    progress(1, 0, 0)
    progress.close()
    assert stream.getvalue() == ""
