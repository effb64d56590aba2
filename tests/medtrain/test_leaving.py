"""How the process `medtrain` ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import IO

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
        timeout=250,
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


def test_a_bug_is_shown_with_its_traceback():
    done = leave_after("raise ValueError('a bug')")
    assert done.returncode == 1 and "ValueError: a bug" in done.stderr


def test_idle_threads_of_a_pool_are_told_to_end():
    before = "from concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor()\n"
    done = leave_after("print(pool.submit(str, 5).result())", before=before)
    assert (done.returncode, done.stdout) == (0, "5\n")


def test_ctrl_c_while_threads_are_waited_for_ends_the_wait():
    before = (
        "import os, signal, threading, time\n"
        # Children of a job in a shell's background ignore it.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def interrupt():\n"
        " while not threading._SHUTTING_DOWN: time.sleep(0.05)\n"
        " time.sleep(0.2); os.kill(os.getpid(), signal.SIGINT); time.sleep(600)\n"
    )
    done = leave_after("threading.Thread(target=interrupt).start()", before=before)
    assert (done.returncode, done.stderr) == (130, "")


def test_ctrl_c_before_a_command_has_begun_leaves_no_traceback():
    done = leave_after("raise KeyboardInterrupt")
    assert (done.returncode, done.stderr) == (130, "")


def test_streams_that_the_caller_has_closed_are_no_failure():
    done = leave_after("raise SystemExit(3)", before="import sys\nsys.stdout = sys.stderr = None\n")
    assert done.returncode == 3


def medtrain(*words: str, stdout: IO[bytes] | int) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "medtrain", *words],
        stdout=stdout,
        stderr=subprocess.PIPE,
        timeout=250,
        check=False,
        env={"PYTHONPATH": ":".join(p for p in sys.path if p)},
    )


REFUSED = ("scale", "--data", "nothing", "--procs", "none", "--json")


@pytest.mark.parametrize(("words", "code"), [(("--help",), 141), (REFUSED, 2)], ids=str)
def test_a_reader_that_has_left_leaves_no_traceback(words, code):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = medtrain(*words, stdout=writer)
    finally:
        os.close(writer)
    assert done.returncode == code
    assert len(done.stderr.splitlines()) == (1 if words == REFUSED else 0)


@pytest.mark.parametrize(("words", "code"), [(("--help",), 74), (REFUSED, 2)], ids=str)
def test_output_to_a_full_disk_leaves_one_line(words, code):
    with Path("/dev/full").open("wb") as full:
        done = medtrain(*words, stdout=full)
    assert done.returncode == code
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("medtrain: error: ")
    assert ("No space left on device" in line) == (words != REFUSED)
