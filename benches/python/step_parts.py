"""Where the time of training steps goes: the trainer's own calls, timed from outside.

Only what is called once or a few times a step is timed. With a clock that waits for the GPU,
nothing overlaps any more: parts are then shares of a step that is slower than an untouched one.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch

Clock = Callable[[], float]


def gpu_clock() -> float:
    """Wall-clock seconds, when the GPU has done all it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def parts_of_last_epoch(train: Callable[[], object], clock: Clock) -> dict[str, float]:
    """Seconds by `clock` of the last epoch that `train` trains, by part and as `whole`.

    Parts: `inputs` (normalising and augmenting), `forward` (model and loss), `backward`,
    `optimizer` (unscaling, clipping, step), and `the rest`. `waiting` for data is wall-clock time
    and part of the rest. Evaluation and saving are not in it.
    """
    from medtrain.data.inputs import Inputs
    from medtrain.precision import Float16
    from medtrain.strategies import SerialStrategy
    from medtrain.tasks import Classify

    spent: dict[str, float] = defaultdict(float)
    calls = [
        (Classify, "forward", "forward"),
        (Inputs, "__call__", "inputs"),
        (torch.Tensor, "backward", "backward"),
        (Float16, "unscale", "optimizer"),
        (SerialStrategy, "clip_grad_norm", "optimizer"),
        (torch.optim.AdamW, "step", "optimizer"),
        (torch.optim.Optimizer, "zero_grad", "optimizer"),
    ]
    with ExitStack() as stack:
        for owner, name, label in calls:
            stack.enter_context(_timed(owner, name, spent, label, clock))
        held = stack.enter_context(_last_epoch(spent, clock))
        train()
    held["forward"] -= held["inputs"]  # which happens inside
    known = ("inputs", "forward", "backward", "optimizer")
    held["the rest"] = held["whole"] - sum(held[name] for name in known)
    return held


@contextmanager
def _timed(
    owner: object, name: str, spent: dict[str, float], label: str, clock: Clock
) -> Iterator[None]:
    """Adds the time inside owner.name to spent[label]."""
    inner = getattr(owner, name)

    def wrapped(*args: object, **kwargs: object) -> object:
        begin = clock()
        try:
            return inner(*args, **kwargs)
        finally:
            spent[label] += clock() - begin

    setattr(owner, name, wrapped)
    try:
        yield
    finally:
        setattr(owner, name, inner)


@contextmanager
def epochs_told(
    began: Callable[[int, float], None], ended: Callable[[int, float], None]
) -> Iterator[None]:
    """Calls before the first step of every epoch and after its last, before it is evaluated.

    With the epoch's number, from 0, and the seconds waited for data since the start.
    """
    from medtrain.journal import Journal
    from medtrain.progress import Progress

    begin_epoch, end_training = Journal.begin_epoch, Journal.end_training

    def begin(self: Journal, at: Progress, wait_s: float) -> None:
        began(at.epoch, wait_s)
        begin_epoch(self, at, wait_s)

    def end(self: Journal, at: Progress, wait_s: float) -> None:
        end_training(self, at, wait_s)
        ended(at.epoch, wait_s)

    Journal.begin_epoch, Journal.end_training = begin, end
    try:
        yield
    finally:
        Journal.begin_epoch, Journal.end_training = begin_epoch, end_training


@contextmanager
def _last_epoch(spent: dict[str, float], clock: Clock) -> Iterator[dict[str, float]]:
    """What was spent on an epoch's training; of several epochs the last."""
    held: dict[str, float] = defaultdict(float)
    marks = [0.0, 0.0]

    def began(_: int, wait_s: float) -> None:
        spent.clear()
        marks[:] = [clock(), wait_s]

    def ended(_: int, wait_s: float) -> None:
        whole = clock() - marks[0]
        held.clear()
        held.update(spent, whole=whole, waiting=wait_s - marks[1])

    with epochs_told(began, ended):
        yield held
