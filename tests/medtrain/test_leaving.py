"""How the process `medtrain` ends."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Threads like those of torch's launcher: nearly always in C++, and never asked to stop.
BUSY = """
import threading, time
import torch.distributed as dist
store = dist.TCPStore("127.0.0.1", 0, 1, True)
def ask():
    while True:
        store.check(["x"])
for _ in range(3):
    threading.Thread(target=ask, daemon=True).start()
time.sleep(0.3)
"""


def leave_after(body: str, *, before: str = "") -> subprocess.CompletedProcess[str]:
    program = f"{before}\nfrom medtrain.__main__ import leave_after\ndef command():\n {body}\n"
    return subprocess.run(
        [sys.executable, "-c", f"{program}leave_after(command)"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_threads_of_torch_do_not_change_the_exit_code():
    done = leave_after("raise SystemExit(75)", before=BUSY)
    assert (done.returncode, done.stderr) == (75, "")


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ("return 7", 0, ""),
        ("raise SystemExit", 0, ""),
        ("raise SystemExit(3)", 3, ""),
        ("raise SystemExit('no such thing')", 1, "no such thing\n"),
    ],
)
def test_the_exit_code_is_the_commands(body, code, said):
    done = leave_after(body)
    assert (done.returncode, done.stderr) == (code, said)


def test_output_exit_handlers_and_threads_are_not_cut_off():
    before = (
        "import atexit, threading, time\n"
        "def late():\n time.sleep(0.3); print('thread')\n"
        "atexit.register(print, 'handler')\n"
    )
    done = leave_after("print('command'); threading.Thread(target=late).start()", before=before)
    assert (done.returncode, done.stdout) == (0, "command\nthread\nhandler\n")


def test_idle_threads_of_an_executor_are_not_waited_for():
    before = "from concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor(1)"
    done = leave_after("print(pool.submit(abs, -3).result())", before=before)
    assert (done.returncode, done.stdout) == (0, "3\n")


def test_what_is_no_exit_is_raised():
    done = leave_after("raise ValueError('a bug')")
    assert done.returncode == 1 and "ValueError: a bug" in done.stderr
