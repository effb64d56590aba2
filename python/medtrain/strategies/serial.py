"""One process: the null object of the strategies, and the reference of their arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from medtrain.precision import Precision
from medtrain.strategies import state as plain_state
from medtrain.strategies.base import Shards, TrainingState
from medtrain.tasks.base import Task
from medtrain.types import Batch, JsonObject, Rows, StepOutput


class SerialStrategy:
    """Everything in this process."""

    name = "serial"

    def __init__(self, device: torch.device, *, channels_last: bool = False) -> None:
        self.device = device
        self.rank = 0
        self.world_size = 1
        self.data_rank = 0
        self.data_degree = 1
        self.shards: Shards | None = None
        self._format = torch.channels_last if channels_last else torch.preserve_format

    def details(self) -> JsonObject:
        """Nothing to set."""
        return {}

    def batch_statistics(self, batch_size: int) -> tuple[int, str]:
        """The batch."""
        return batch_size, "one batch"

    def prepare(self, model: nn.Module) -> nn.Module:
        """Move the model to the device."""
        return model.to(self.device, memory_format=self._format)  # type: ignore[call-overload, no-any-return]

    def train_step(
        self, task: Task, model: nn.Module, micro_batches: Sequence[Batch], precision: Precision
    ) -> StepOutput:
        """Accumulate the gradient of (sum of weighted losses) / (weight of the global batch).

        Gradient synchronisation averages over ranks, hence the factor world_size.
        """
        weight = self._sum(torch.stack([task.weight(batch) for batch in micro_batches]).sum())
        share = (self.world_size / weight).float()
        sums = torch.zeros(5, dtype=torch.float64, device=self.device)
        for at, batch in enumerate(micro_batches):
            with self._synchronise(model, last=at == len(micro_batches) - 1):
                if len(batch) == 0:
                    self._join_without_samples(task, model, batch)
                    continue
                with precision.autocast():
                    forward = task.forward(model, batch)
                precision.scale(forward.objective * share).backward()  # type: ignore[no-untyped-call]
                sums += forward.sums
        return StepOutput(self._sum(sums))

    def clip_grad_norm(self, model: nn.Module, max_norm: float) -> torch.Tensor:
        """The gradient norm before clipping."""
        limit = max_norm if max_norm > 0 else float("inf")
        return nn.utils.clip_grad_norm_(model.parameters(), limit)

    def agree_statistics(self, model: nn.Module) -> None:
        """One process agrees with itself."""

    def evaluation_step(
        self, task: Task, model: nn.Module, batch: Batch | None, precision: Precision
    ) -> Rows:
        """Rows of one batch, or none."""
        if batch is None:
            return task.no_rows()
        with precision.autocast():
            return task.rows(self._plain(model), batch)

    def gather(self, rows: Rows) -> Rows:
        """All rows are here."""
        return rows

    def agree(self, flag: int) -> int:
        """The flag itself."""
        return flag

    def state(self, model: nn.Module, optimizer: torch.optim.Optimizer | None) -> TrainingState:
        """Copies on the CPU."""
        return plain_state.collect(self._plain(model), optimizer)

    def load_state(
        self, model: nn.Module, optimizer: torch.optim.Optimizer | None, state: TrainingState
    ) -> None:
        """Load into the plain model."""
        plain_state.restore(self._plain(model), optimizer, state)

    def close(self) -> None:
        """Nothing to leave."""

    def _plain(self, model: nn.Module) -> nn.Module:
        return model

    def _sum(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor

    def _synchronise(self, model: nn.Module, *, last: bool) -> AbstractContextManager[None]:
        return nullcontext()

    def _join_without_samples(self, task: Task, model: nn.Module, batch: Batch) -> None:
        """Nobody waits: all samples of this micro-batch were left out as corrupt."""
