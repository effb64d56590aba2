"""The process `medtrain`: its beginning, before anything heavy is imported, and its end."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import NoReturn


def start() -> NoReturn:
    """Run the command line and leave with its exit code."""
    if "MEDTRAIN_PARENT" in os.environ:
        # A worker of ours that is still importing has nothing to save and nothing to say.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, _leave_quietly)
    from medtrain.cli import main

    leave_after(main)


def leave_after(command: Callable[[], object]) -> NoReturn:
    """Run `command` and end the process with the code it exits with, without finalising Python.

    Daemon threads of torch's launcher and of its stores are in C++ code most of the time. One that
    comes back while the interpreter is being finalised is ended by Python (before 3.14) in the
    middle of that code, and std::terminate aborts the process: exit code 134 in place of 0 or 75.
    What else Py_FinalizeEx does first is done here too: other threads are waited for, exit handlers
    run, output is written. An exception that is no exit is raised as ever.
    """
    code = 0
    try:
        command()
    except SystemExit as end:
        code = _exit_code(end)
    # Not Thread.join: idle threads of an executor end only when this asks them to.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # whoever read it has left, or the disk is full
            code = code or 1
    os._exit(code)


def _exit_code(end: SystemExit) -> int:
    """As Python reads it: nothing is 0, and what is no number is a message."""
    if end.code is None or isinstance(end.code, int):
        return end.code or 0
    print(end.code, file=sys.stderr)
    return 1


def _leave_quietly(number: int, _frame: FrameType | None) -> None:
    os._exit(128 + number)


if __name__ == "__main__":
    start()
