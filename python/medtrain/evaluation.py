"""Evaluate a split once over all ranks: gather rows, order them, compute the metrics."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from torch import nn

from medtrain.data import EvaluationLoader
from medtrain.precision import Precision
from medtrain.settle import settle
from medtrain.strategies.base import Strategy
from medtrain.tasks.base import Task
from medtrain.types import Evaluation, Rows

_ASK_EVERY_S = 5.0
# What ranks tell each other is one number, of which the largest counts: milliseconds, above
# these a signal to stop for, above all signals trouble.
_SIGNAL, _TROUBLE = 1 << 40, 1 << 50


def _never() -> int:
    return 0


def evaluate(
    loader: EvaluationLoader,
    *,
    task: Task,
    model: nn.Module,
    strategy: Strategy,
    precision: Precision,
    intervals: bool,
    asked_to_stop: Callable[[], int] = _never,
) -> tuple[Evaluation | None, list[int]]:
    """(metrics and rows of one split, rows that were left out as corrupt).

    asked_to_stop: 0, or the signal by which this process was; then all ranks end some seconds
    later, with None. A whole evaluation is given, whatever was asked meanwhile.

    The same bits on every rank and for any number of ranks; so is the VerificationError where a
    sample cannot be used and may not be left out: all ranks end some seconds after one has met it.

    Batches are fixed by the samples' places in the split (EvaluationLoader), rows are sorted by
    place, and the metrics are a function of the sorted rows.
    """
    model.eval()
    rounds = _Rounds()
    parts, left_out = [], []
    for batch in loader:
        parts.append(strategy.evaluation_step(task, model, batch, precision))
        if rounds.is_time_to_ask():
            rows_out, signal = _settled(strategy, loader, rounds, asked_to_stop())
            left_out += rows_out
            if signal:
                strategy.gather(task.no_rows())  # what is on its way between processes arrives
                return None, left_out
    left_out += _settled(strategy, loader, rounds, 0)[0]
    rows = _sorted(strategy.gather(_joined([task.no_rows(), *parts])))
    groups = loader.split.groups(rows["index"])
    metrics = task.metrics(rows, groups, intervals=intervals)
    return Evaluation(loader.split.name, metrics, rows), left_out


class _Rounds:
    """How many batches all ranks evaluate before they ask each other again: about 5 s' worth.

    Asking at every batch would make the stages of a pipeline wait for one another. Ranks read
    their clocks differently; what they go by is the longest time of any.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._begin = clock()
        self._count = self._left = 1

    def is_time_to_ask(self) -> bool:
        """Whether this was the last batch before they ask."""
        self._left -= 1
        return self._left == 0

    def milliseconds(self) -> int:
        """This rank's time since they asked."""
        return int(1000 * (self._clock() - self._begin))

    def asked(self, milliseconds: int) -> None:
        """Plan the next question from the time that the slowest rank took."""
        fitting = int(self._count * 1000 * _ASK_EVERY_S / max(1, milliseconds))
        self._count = self._left = max(1, min(2 * self._count, fitting))
        self._begin = self._clock()


def _settled(
    strategy: Strategy, loader: EvaluationLoader, rounds: _Rounds, signal: int
) -> tuple[list[int], int]:
    """(the rows that any rank has met and must be left out, the signal that any has got)."""
    trouble = _TROUBLE if loader.trouble else 0
    most = strategy.agree(trouble + signal * _SIGNAL + rounds.milliseconds())
    rounds.asked(most % _SIGNAL)
    left_out = settle(strategy, loader.trouble) if most >= _TROUBLE else []
    return left_out, most % _TROUBLE // _SIGNAL


def _joined(parts: list[Rows]) -> Rows:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _sorted(rows: Rows) -> Rows:
    order = np.argsort(rows["index"], kind="stable")
    return {name: column[order] for name, column in rows.items()}
