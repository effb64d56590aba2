"""Signals become a flag that all ranks agree on at a step boundary; a second one ends at once."""

from __future__ import annotations

import os
import signal
import time
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
# srun and a launcher may both deliver the same request: that is one request, not two.
_SAME_REQUEST_S = 1.0


class StopFlag:
    """`requested` is 0, or the number of the signal that asked this process to stop."""

    def __init__(self) -> None:
        self.requested = 0
        self._first_s = 0.0

    def install(self) -> None:
        """Take over the signals of this process; only its main thread may call this."""
        for number in SIGNALS:
            signal.signal(number, self._receive)

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        if not self.requested:
            self.requested = number
            self._first_s = time.monotonic()
        elif time.monotonic() - self._first_s > _SAME_REQUEST_S:
            os._exit(128 + number)
