"""Progress on stderr: a bar on a terminal, one plain line every 30 s in a log."""

from __future__ import annotations

import sys
import time
from typing import TextIO

_BAR_EVERY_S = 0.1
_LINE_EVERY_S = 30.0
_BAR_WIDTH = 28


class Progress:
    """Called with images done, images failed and shards done; prints when it is time to.

    enabled: False prints nothing (-q).
    """

    def __init__(self, *, enabled: bool = True, stream: TextIO | None = None) -> None:
        self._total = 0
        self._enabled = enabled
        self._stream = stream or sys.stderr
        self._is_terminal = self._stream.isatty()
        self._every_s = _BAR_EVERY_S if self._is_terminal else _LINE_EVERY_S
        self._start = self._last = time.monotonic()
        self._drawn = 0

    def begin(self, total: int) -> Progress:
        """Start the clock for `total` images that this run has to do."""
        self._total = total
        self._start = self._last = time.monotonic()
        return self

    def __call__(self, images: int, failed: int, shards: int) -> None:
        """Take the counts; cheap unless something is printed."""
        now = time.monotonic()
        if not self._enabled or now - self._last < self._every_s:
            return
        self._last = now
        line = self._line(images, failed, shards, now - self._start)
        if not self._is_terminal:
            self._write(line + "\n")
            return
        bar = "#" * int(_BAR_WIDTH * min(1.0, (images + failed) / max(1, self._total)))
        text = f"[{bar:<{_BAR_WIDTH}}] {line}"
        self._write("\r" + text.ljust(self._drawn))
        self._drawn = len(text)

    def close(self) -> None:
        """Take the bar away, so that the next line starts clean."""
        if self._drawn:
            self._write("\r" + " " * self._drawn + "\r")
            self._drawn = 0

    def _line(self, images: int, failed: int, shards: int, seconds: float) -> str:
        done = images + failed
        rate = done / seconds if seconds > 0 else 0.0
        left = f", {_duration((self._total - done) / rate)} left" if rate > 0 else ""
        bad = f", {failed} failed" if failed else ""
        return (
            f"{done}/{self._total} images ({100 * done // max(1, self._total)} %), "
            f"{shards} shards, {rate:.0f} images/s{bad}{left}"
        )

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
