"""Batches straight from mapped shards, read ahead by one thread.

No worker processes: rows are contiguous copies out of the page cache, and all arithmetic
happens on the training device.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from medtrain import seed as randomness
from medtrain.data.inputs import DRAWS
from medtrain.data.order import global_batches, micro_batches
from medtrain.data.split import Split
from medtrain.types import Batch

T = TypeVar("T")
_DEPTH = 2  # steps read ahead: one is on the device, one waits, one is being read


class TrainLoader:
    """The micro-batches of each global step, in an order that is a function of (seed, epoch).

    batch_size: samples of one micro-batch on one rank; a global batch has
    batch_size x accumulate x world_size samples, whichever way it is cut.
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
    ) -> None:
        self._split = split
        self._seed = seed
        self._accumulate = accumulate
        self._rank = rank
        self._world_size = world_size
        self._augment = augment
        self._device = device
        self.global_batch = batch_size * accumulate * world_size
        self.wait_s = 0.0  # time the trainer has waited for data since the start

    def __len__(self) -> int:
        """Samples of one epoch, over all ranks."""
        return len(self._split)

    @property
    def steps(self) -> int:
        """Optimizer steps of one epoch."""
        return sum(1 for _ in global_batches(len(self), self.global_batch))

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[int, list[Batch]]]:
        """Pairs of (position after the step, this rank's micro-batches) from `start` on."""
        for position, batches in self._timed(read_ahead(self._read(epoch, start))):
            yield position, [batch.to(self._device) for batch in batches]

    def _read(self, epoch: int, start: int) -> Iterator[tuple[int, list[Batch]]]:
        order = randomness.order(self._seed, epoch, len(self))
        for first, stop in global_batches(len(self), self.global_batch, start):
            parts = micro_batches(
                stop - first,
                accumulate=self._accumulate,
                rank=self._rank,
                world_size=self._world_size,
            )
            positions = order[first:stop]
            yield stop, [self._batch(epoch, positions[part.start : part.stop]) for part in parts]

    def _batch(self, epoch: int, positions: NDArray[np.int64]) -> Batch:
        batch = self._split.batch(positions)
        if self._augment:
            rows = self._split.rows[positions]
            draws = randomness.uniforms(self._seed, epoch, rows, DRAWS)
            batch = Batch(batch.images, batch.labels, batch.index, torch.from_numpy(draws))
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
    Yields None where a rank has no batch left, so that all ranks go round equally often.
    """

    def __init__(
        self, split: Split, *, batch_size: int, rank: int, world_size: int, device: torch.device
    ) -> None:
        self.split = split
        self._batch_size = batch_size
        self._rank = rank
        self._world_size = world_size
        self._device = device

    def __iter__(self) -> Iterator[Batch | None]:
        """This rank's batches."""
        for batch in read_ahead(self._read()):
            yield None if len(batch) == 0 else batch.to(self._device)

    def _read(self) -> Iterator[Batch]:
        count, size = len(self.split), self._batch_size
        rounds = -(-count // (size * self._world_size))
        for at in range(rounds):
            first = (at * self._world_size + self._rank) * size
            yield self.split.batch(np.arange(first, max(first, min(first + size, count))))


class _End:
    """Closes the queue; carries the reader's error, if it had one."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def read_ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items, prepared by one thread a few ahead; its errors are raised here."""
    ready: queue.Queue[T | _End] = queue.Queue(maxsize=_DEPTH)
    stopped = threading.Event()

    def put(item: T | _End) -> bool:
        while not stopped.is_set():
            try:
                ready.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def read() -> None:
        try:
            for item in items:
                if not put(item):
                    return
        except BaseException as error:  # handed over to the consumer, never lost
            put(_End(error))
        else:
            put(_End())

    thread = threading.Thread(target=read, name="medtrain-read-ahead", daemon=True)
    thread.start()
    try:
        while True:
            item = ready.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
    finally:
        stopped.set()
        thread.join()
