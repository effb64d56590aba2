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

_INTERRUPTED = 128 + signal.SIGINT


def start() -> NoReturn:
    """Run the command line and leave with its exit code."""
    if "MEDTRAIN_PARENT" in os.environ:
        # A worker of ours that is still importing has nothing to save and nothing to say.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, _leave_quietly)
    leave_after(_main)


def leave_after(command: Callable[[], object]) -> NoReturn:
    """Run `command` and end the process with the code it exits with, without finalising Python.

    Daemon threads of torch's launcher and of its stores are in C++ code most of the time. One that
    comes back while the interpreter is being finalised is ended by Python (before 3.14) in the
    middle of that code, and std::terminate aborts the process: exit code 134 in place of 0 or 75.
    What else happens at an exit happens here too: other threads are waited for, exit handlers run,
    output is written. An exception that is no exit is shown, and the code is 1.
    """
    code = _code_of(command)
    try:
        # Not `join`: pools have idle threads that end only when they are told of the shutdown.
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    except KeyboardInterrupt:
        code = _INTERRUPTED
    os._exit(code if _is_flushed() else code or 1)


def _main() -> None:
    from medtrain.cli import main

    main()


def _code_of(command: Callable[[], object]) -> int:
    try:
        command()
    except SystemExit as end:
        return _exit_code(end)
    except KeyboardInterrupt:  # while still importing: commands handle their own
        return _INTERRUPTED
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def _is_flushed() -> bool:
    """Whether all output could be written; a stream that the caller has closed is no failure."""
    is_written = True
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except OSError:  # whoever read it has left, or the disk is full
            is_written = False
    return is_written


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
