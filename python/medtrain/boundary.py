"""What all ranks settle between two steps, with one collective: stop, save, unreadable samples."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from medtrain.data import TrainLoader
from medtrain.journal import Journal
from medtrain.progress import Progress
from medtrain.settle import settle
from medtrain.stop import StopFlag
from medtrain.strategies.base import Strategy

_SAVE = 1  # below every signal that stops a run; SIGHUP is none of them
_TROUBLE = 1000  # above every signal


class Boundary:
    """Agrees over ranks; whatever one rank has to say, all act on it at the same step.

    every_steps, every_minutes: when to save inside an epoch; 0: not.
    save: writes a checkpoint; called on all ranks. clock: seconds of this rank.
    """

    def __init__(
        self,
        *,
        strategy: Strategy,
        stop: StopFlag,
        loader: TrainLoader,
        journal: Journal,
        every_steps: int,
        every_minutes: float,
        save: Callable[[Progress, bool], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._strategy = strategy
        self._stop = stop
        self._loader = loader
        self._journal = journal
        self._every_steps = every_steps
        self._every_s = 60 * every_minutes
        self._write = save
        self._begun_step: int | None = None
        self._saved_step: int | None = None
        self._clock = clock
        self._saved_s = clock()

    def settle(self, at: Progress) -> int:
        """Save or complain where any rank asks for it; returns the signal to stop for, or 0."""
        trouble = _TROUBLE if self._loader.trouble else 0
        asked = self._strategy.agree(max(self._stop.requested, self._due(at), trouble))
        if asked >= _TROUBLE:
            split = self._loader.split
            rows = np.array(settle(self._strategy, self._loader.trouble), np.int64)
            self._journal.corrupt(at, split.name, split.ids(rows).tolist())
            return 0
        if asked and at.step != self._saved_step:
            self.save(at, False)
        return asked if asked > _SAVE else 0

    def save(self, at: Progress, best: bool) -> None:
        """Write a checkpoint now (and a copy as the best one)."""
        self._write(at, best)
        self._saved_step, self._saved_s = at.step, self._clock()

    def _due(self, at: Progress) -> int:
        if self._begun_step is None:
            self._begun_step = at.step
        since = self._begun_step if self._saved_step is None else self._saved_step
        by_steps = self._every_steps and at.step - since >= self._every_steps
        by_time = self._every_s and self._clock() - self._saved_s >= self._every_s
        return _SAVE if by_steps or by_time else 0
