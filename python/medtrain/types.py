"""What travels between the parts of a training run: batches in, sums and rows out.

Shape letters: N samples of a batch, H height, W width, C channels, K classes, D draws.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

JsonObject = dict[str, Any]
Rows = dict[str, NDArray[Any]]
"""Columns of per-sample results; all have N as first dimension."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples as they lie in the shards; everything else happens on the training device.

    images: (N, H, W, C) uint8.
    labels: (N,) int64.
    index: (N,) int64, the place of each sample in its split.
    draws: (N, D) float32 in [0, 1), the random numbers of each sample's augmentation; None for
    none.
    """

    images: torch.Tensor
    labels: torch.Tensor
    index: torch.Tensor
    draws: torch.Tensor | None = None

    def __len__(self) -> int:
        """Number of samples; 0 on a rank that got none of a short global batch."""
        return int(self.labels.shape[0])

    def to(self, device: torch.device) -> Batch:
        """The same batch on `device`; asynchronous from pinned memory."""
        if device.type == "cpu":
            return self
        return Batch(
            self.images.to(device, non_blocking=True),
            self.labels.to(device, non_blocking=True),
            self.index.to(device, non_blocking=True),
            None if self.draws is None else self.draws.to(device, non_blocking=True),
        )

    def pinned(self) -> Batch:
        """The same batch in page-locked memory, from which a GPU copies without waiting."""
        return Batch(
            self.images.pin_memory(),
            self.labels.pin_memory(),
            self.index.pin_memory(),
            None if self.draws is None else self.draws.pin_memory(),
        )

    def without(self, chosen: NDArray[np.bool_]) -> Batch:
        """The batch without the chosen samples.

        A single sample that would be left goes with them: it has no batch statistics.
        """
        kept = np.flatnonzero(~chosen)
        at = torch.from_numpy(kept if len(kept) > 1 else kept[:0])
        return Batch(
            self.images[at],
            self.labels[at],
            self.index[at],
            None if self.draws is None else self.draws[at],
        )

    def part(self, rows: range) -> Batch:
        """Some of its samples, in order, without a copy."""
        chosen = slice(rows.start, rows.stop)
        return Batch(
            self.images[chosen],
            self.labels[chosen],
            self.index[chosen],
            None if self.draws is None else self.draws[chosen],
        )

    def stand_in(self) -> Batch:
        """One black image of this batch's shape, for a rank that must join without samples."""
        return Batch(
            self.images.new_zeros((1, *self.images.shape[1:])),
            self.labels.new_zeros(1),
            self.index.new_zeros(1),
        )


@dataclass(frozen=True, slots=True)
class Piece:
    """One link of a model that is a chain: what may be sharded alone, or start a pipeline stage.

    run: the output of the link before (N, ...) -> the input of the next, one tensor each.
    parts: dotted names of all modules and parameters of the model that `run` uses.
    """

    name: str
    run: Callable[[torch.Tensor], torch.Tensor]
    parts: tuple[str, ...]


class Totals(NamedTuple):
    """Sums over samples and ranks, from which exact means follow."""

    objective: float
    weight: float
    loss: float
    correct: float
    samples: float

    @property
    def mean_objective(self) -> float:
        """The minimised (class-weighted) mean loss."""
        return self.objective / self.weight if self.weight else float("nan")

    @property
    def mean_loss(self) -> float:
        """Mean cross-entropy without class weights; what evaluation reports too."""
        return self.loss / self.samples if self.samples else float("nan")

    @property
    def accuracy(self) -> float:
        """Share of correctly labelled samples."""
        return self.correct / self.samples if self.samples else float("nan")


NO_TOTALS = Totals(0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class StepOutput:
    """Sums of one global step over all ranks, still on the device: reading them waits for it.

    sums: (5,) float64 in the order of `Totals`.
    """

    sums: torch.Tensor

    def totals(self) -> Totals:
        """The sums as numbers."""
        return Totals(*self.sums.tolist())


@dataclass(frozen=True, slots=True)
class StepVerdict:
    """What became of a global step.

    totals: sums over the samples learned from. grad_norm: before clipping. is_taken: the weights
    move. is_bad: loss or gradient is not finite.
    """

    totals: Totals
    grad_norm: float
    is_taken: bool
    is_bad: bool


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What one split gave: metrics for people, rows for later analysis.

    rows: index (N,) int64, labels (N,) int64, logits (N, K) float32, in the order of the split.
    """

    split: str
    metrics: JsonObject
    rows: Rows


def empty_rows(num_classes: int) -> Rows:
    """Rows of no sample, so that a rank without samples can join a gather."""
    return {
        "index": np.empty(0, np.int64),
        "labels": np.empty(0, np.int64),
        "logits": np.empty((0, num_classes), np.float32),
    }
