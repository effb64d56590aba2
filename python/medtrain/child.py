"""Run one of our own commands in a process of its own, and end it when we are ended."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

from medtrain.errors import MedprepError

_END_S = 15.0  # a child may take this long to finish its step and save
_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
_ERROR = re.compile(r"med(?:prep|train)(?: \[rank \d+\])?: error: (.*)")
# What a launcher or an earlier run left behind would make the child join a job that is not its.
_LEFT_BEHIND = (
    *("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "OMP_NUM_THREADS"),
    "SLURM_STEP_NUM_TASKS",
)


class ChildError(MedprepError):
    """A command of ours failed; the message is its own reason."""

    exit_code = 1


def run_child(words: Sequence[str]) -> str:
    """Run the command to its end; returns its stdout. Raises ChildError with its reason.

    Whatever interrupts the wait (Ctrl-C, a signal) ends the child too, before it is passed on.
    """
    environment = {k: v for k, v in os.environ.items() if k not in _LEFT_BEHIND}
    # A signal that raised inside Popen would leave the child behind, known to nobody.
    with (
        _Signals() as signals,
        subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        ) as child,
    ):
        try:
            signals.release()
            output, errors = child.communicate()
        except BaseException as interruption:
            _end(child, knows=isinstance(interruption, KeyboardInterrupt))
            raise
    if child.returncode != 0:
        raise ChildError(reason(child.returncode, output, errors))
    return output


class _Signals:
    """Holds signals back until `release`, which delivers those that have come meanwhile."""

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}
        self._came: list[int] = []

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # no other one gets any
            for number in (*_SIGNALS, signal.SIGINT):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Give the signals back to whom they belong; may raise what that one raises."""
        while self._before:
            signal.signal(*self._before.popitem())
        while self._came:
            signal.raise_signal(self._came.pop())

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._came.append(number)


@contextmanager
def signals_end_this() -> Iterator[None]:
    """Let TERM, USR1 and USR2 unwind this process as Ctrl-C does; it leaves with 128 + number."""

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def reason(code: int, output: str, errors: str) -> str:
    """Why a command of ours failed, in its own words where it left any."""
    last = (output.strip().splitlines() or [""])[-1]
    try:
        return str(json.loads(last)["error"])
    except (ValueError, KeyError, TypeError):
        pass
    if said := _ERROR.search(errors):
        return said[1]
    lines = errors.strip().splitlines()
    how = f"exit code {code}" if code > 0 else f"signal {-code}"
    return f"ended with {how}{f': {lines[-1]}' if lines else ' and no message'}"


def _end(child: subprocess.Popen[str], *, knows: bool) -> None:
    """Ask it to stop, unless the terminal has, and insist after a while or a second Ctrl-C."""
    try:
        if not knows:
            child.terminate()
        child.wait(_END_S)
    except (subprocess.TimeoutExpired, KeyboardInterrupt, SystemExit):
        child.kill()
