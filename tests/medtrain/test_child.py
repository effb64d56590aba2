"""What is said when a command of ours that we started fails."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

from medtrain.child import ChildError, reason, run_child, signals_end_this


def python(code):
    return [sys.executable, "-c", code]


def test_output_of_a_command_is_returned():
    assert run_child(python("print('done')")) == "done\n"


def test_a_child_joins_no_job_of_ours(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "OMP_NUM_THREADS", "SLURM_STEP_NUM_TASKS"):
        monkeypatch.setenv(name, "3")
    names = "RANK", "WORLD_SIZE", "OMP_NUM_THREADS", "SLURM_STEP_NUM_TASKS"
    code = f"import os; print(sum(name in os.environ for name in {names}))"
    assert run_child(python(code)) == "0\n"


@pytest.mark.parametrize(
    ("output", "errors", "said"),
    [
        (json.dumps({"error": "no GPU here", "exit_code": 2}), "", "no GPU here"),
        ("", "W1121 a warning\nmedtrain: error: no data\nW1121 shutting down\n", "no data"),
        ("3", "medtrain [rank 1]: error: lost rank 0\n", "lost rank 0"),
        ('["error"]', "Traceback\nKeyError: 3\n", "ended with exit code 1: KeyError: 3"),
        ("", "", "ended with exit code 1 and no message"),
    ],
)
def test_the_reason_is_the_command_s_own(output, errors, said):
    assert reason(1, output, errors) == said


def test_a_killed_child_is_named_by_its_signal():
    with pytest.raises(ChildError, match="ended with signal 9 and no message"):
        run_child(python("import os; os.kill(os.getpid(), 9)"))


def test_a_signal_while_a_child_is_being_started_ends_the_child_too(monkeypatch):
    started = []

    class Popen(subprocess.Popen):
        def __init__(self, *arguments, **keywords):
            super().__init__(*arguments, **keywords)
            started.append(self)
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(subprocess, "Popen", Popen)
    with pytest.raises(SystemExit) as ended, signals_end_this():
        run_child([sys.executable, "-c", "import time; time.sleep(600)"])
    assert ended.value.code == 128 + signal.SIGTERM
    assert started[0].returncode == -signal.SIGTERM
