"""The first stop signal ends a run in good order, the second at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

from medprep.engines import Stop

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


class StoppedAtOnce(KeyboardInterrupt):
    """The second signal; half-written files are removed on the way out."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


class StopSignals:
    """While entered: a signal sets `stop`, a second one raises StoppedAtOnce.

    received: the first signal, or None. Outside the main thread nothing is installed.
    """

    def __init__(self, stop: Stop) -> None:
        self._stop = stop
        self._before: dict[int, Any] = {}
        self.received: int | None = None

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            handler: Callable[[int, FrameType | None], None] = self._handle
            self._before = {number: signal.signal(number, handler) for number in STOP_SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self.received is not None:
            raise StoppedAtOnce(signum)
        self.received = signum
        self._stop.set()
        # os.write: a signal may interrupt a print, and streams are not reentrant.
        name = signal.Signals(signum).name
        os.write(2, f"\n{name}: finishing the shards in flight; once more stops at once\n".encode())
