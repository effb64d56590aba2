"""Batches straight from mapped shards, read ahead by one thread.

No worker processes: rows are contiguous copies out of the page cache, and all arithmetic
happens on the training device.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from medtrain import seed as randomness
from medtrain.data.ahead import read_ahead
from medtrain.data.checks import RowChecks
from medtrain.data.inputs import DRAWS
from medtrain.data.order import global_batches, micro_batches
from medtrain.data.split import Split
from medtrain.data.trouble import Trouble
from medtrain.errors import MedprepError
from medtrain.types import Batch

T = TypeVar("T")


class _Step(NamedTuple):
    """One rank's part of a global step, and the rows that were left out of it."""

    stop: int
    batches: list[Batch]
    damaged: list[int]


class TrainLoader:
    """The micro-batches of each global step, in an order that is a function of (seed, epoch).

    batch_size: samples of one micro-batch on one rank; a global batch has
    batch_size x accumulate x world_size samples, whichever way it is cut. trouble: where samples
    that cannot be used are told; the loader itself raises nothing for them.
    """

    def __init__(
        self,
        split: Split,
        *,
        seed: int,
        batch_size: int,
        accumulate: int,
        rank: int,
        world_size: int,
        augment: bool,
        device: torch.device,
        check_rows: str = "first",
        on_corrupt: str = "fail",
    ) -> None:
        self.split = split
        self._seed = seed
        self._accumulate = accumulate
        self._rank = rank
        self._world_size = world_size
        self._augment = augment
        self._device = device
        self._checks = RowChecks(split, check_rows)
        self.trouble = Trouble(split, on_corrupt)
        self.global_batch = batch_size * accumulate * world_size
        self.wait_s = 0.0  # time the trainer has waited for data since the start

    def __len__(self) -> int:
        """Samples of one epoch, over all ranks."""
        return len(self.split)

    @property
    def steps(self) -> int:
        """Optimizer steps of one epoch."""
        return sum(1 for _ in global_batches(len(self), self.global_batch))

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[int, list[Batch]]]:
        """Pairs of (position after the step, this rank's micro-batches) from `start` on.

        What cannot be read is told to `trouble`, and the step is given all the same, so that
        every rank comes to the point where they settle it.
        """
        try:
            for step in self._timed(read_ahead(self._read(epoch, start))):
                self.trouble.add(step.damaged)
                yield step.stop, [batch.to(self._device) for batch in step.batches]
        except MedprepError as error:
            self.trouble.fail(error)
            yield start, []

    def _read(self, epoch: int, start: int) -> Iterator[_Step]:
        order = randomness.order(self._seed, epoch, len(self))
        for first, stop in global_batches(len(self), self.global_batch, start):
            parts = micro_batches(
                stop - first,
                accumulate=self._accumulate,
                rank=self._rank,
                world_size=self._world_size,
            )
            damaged: list[int] = []
            positions = [order[first:stop][part.start : part.stop] for part in parts]
            batches = [self._batch(epoch, some, damaged) for some in positions]
            yield _Step(stop, batches, damaged)

    def _batch(self, epoch: int, positions: NDArray[np.int64], damaged: list[int]) -> Batch:
        batch = self.split.batch(positions)
        if self._augment:
            draws = randomness.uniforms(self._seed, epoch, batch.index.numpy(), DRAWS)
            batch = Batch(batch.images, batch.labels, batch.index, torch.from_numpy(draws))
        chosen = self._checks.damaged(batch)
        if chosen.any():
            damaged += batch.index.numpy()[chosen].tolist()
            batch = batch.without(chosen)
        return batch.pinned() if self._device.type == "cuda" else batch

    def _timed(self, steps: Iterator[T]) -> Iterator[T]:
        while True:
            begin = time.perf_counter()
            step = next(steps, None)
            self.wait_s += time.perf_counter() - begin
            if step is None:
                return
            yield step


class EvaluationLoader:
    """Every sample once, in batches that are the same for any number of ranks.

    Batch b holds the samples [b E, (b+1) E) and goes to rank b mod world_size: each forward
    pass sees the same images together, so logits do not depend on the number of processes.
    Yields None where a rank has no batch left, so that all ranks go round equally often. What
    cannot be used is told to `trouble` and left out.
    """

    def __init__(
        self,
        split: Split,
        *,
        batch_size: int,
        rank: int,
        world_size: int,
        device: torch.device,
        check_rows: str = "first",
        on_corrupt: str = "fail",
    ) -> None:
        self.split = split
        self._batch_size = batch_size
        self._rank = rank
        self._world_size = world_size
        self._device = device
        self._checks = RowChecks(split, check_rows)
        self.trouble = Trouble(split, on_corrupt)

    def __iter__(self) -> Iterator[Batch | None]:
        """This rank's batches."""
        for batch in read_ahead(self._read()):
            if batch is not None and len(batch):
                chosen = self._checks.damaged(batch)
                self.trouble.add(batch.index.numpy()[chosen].tolist())
                batch = _kept(batch, chosen)
            yield None if batch is None or len(batch) == 0 else batch.to(self._device)

    def _read(self) -> Iterator[Batch | None]:
        count, size = len(self.split), self._batch_size
        rounds = -(-count // (size * self._world_size))
        for at in range(rounds):
            first = (at * self._world_size + self._rank) * size
            positions = np.arange(first, max(first, min(first + size, count)))
            try:
                yield self.split.batch(positions)
            except MedprepError as error:
                self.trouble.fail(error)
                yield None


def _kept(batch: Batch, chosen: NDArray[np.bool_]) -> Batch:
    """The batch without the chosen samples; one alone can be evaluated."""
    if not chosen.any():
        return batch
    at = torch.from_numpy(np.flatnonzero(~chosen))
    return Batch(batch.images[at], batch.labels[at], batch.index[at])
