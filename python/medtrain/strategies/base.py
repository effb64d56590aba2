"""The strategy protocol: everything about several processes that the loop relies on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch import nn

from medtrain.precision import Precision
from medtrain.tasks.base import Task
from medtrain.types import Batch, JsonObject, Piece, Rows, StepOutput

Tensors = dict[str, torch.Tensor]
Chain = Callable[[nn.Module], Sequence[Piece]]
"""The pieces of a model, in order; strategies know no model by name."""


class TrainingState(NamedTuple):
    """Whole, unsharded tensors on the CPU, by parameter name."""

    model: Tensors
    optimizer: Tensors


class Shards(Protocol):
    """How processes that hold parts of tensors save and load these, each its own.

    All ranks call both; errors are raised on all of them.
    """

    def save(self, folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer | None) -> None:
        """Write into an empty folder that all ranks see; without an optimizer the model only."""
        ...

    def load(self, folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer | None) -> None:
        """Take up what `save` wrote, on any number of ranks."""
        ...


class Strategy(Protocol):
    """Where the model and the samples are.

    data_rank, data_degree: this process among those that read different samples; strategies that
    split the model over processes have fewer data ranks than processes.
    shards: None where checkpoints are made of whole tensors.
    """

    name: str
    device: torch.device
    rank: int
    world_size: int
    data_rank: int
    data_degree: int
    shards: Shards | None

    def details(self) -> JsonObject:
        """How it is set, for `environment.json` and the reports; after `prepare`."""
        ...

    def batch_statistics(self, batch_size: int) -> tuple[int, str]:
        """(images, in words what they are) that a batch normalisation sees at a time.

        batch_size: `data.batch_size`. Of uneven parts the largest.
        """
        ...

    def prepare(self, model: nn.Module) -> nn.Module:
        """The model as this strategy trains it, on the device; call before making an optimizer."""
        ...

    def train_step(
        self, task: Task, model: nn.Module, micro_batches: Sequence[Batch], precision: Precision
    ) -> StepOutput:
        """Gradients of the mean loss over the global batch, exact however it was cut.

        Owns accumulation and gradient synchronisation. Every rank calls it with equally many
        micro-batches, of which some may be empty.
        """
        ...

    def clip_grad_norm(self, model: nn.Module, max_norm: float) -> torch.Tensor:
        """() the global gradient norm before clipping to `max_norm` (0: no clipping)."""
        ...

    def agree_statistics(self, model: nn.Module) -> None:
        """Make normalisation statistics the same on all ranks, before evaluating or saving."""
        ...

    def evaluation_step(
        self, task: Task, model: nn.Module, batch: Batch | None, precision: Precision
    ) -> Rows:
        """Rows of one batch; None on a rank that has none left, which must join all the same."""
        ...

    def gather(self, rows: Rows) -> Rows:
        """All ranks' rows on every rank."""
        ...

    def agree(self, flag: int) -> int:
        """The largest flag of any rank: 0 only when all ranks say 0."""
        ...

    def state(self, model: nn.Module, optimizer: torch.optim.Optimizer | None) -> TrainingState:
        """Whole tensors for a checkpoint; all ranks call it, rank 0's result is saved.

        Without an optimizer those of the model only.
        """
        ...

    def load_state(
        self, model: nn.Module, optimizer: torch.optim.Optimizer | None, state: TrainingState
    ) -> None:
        """Take up a checkpoint's tensors."""
        ...

    def close(self) -> None:
        """Wait for the others and leave."""
        ...
