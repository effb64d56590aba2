"""The task protocol: what a strategy and the loop need to know of any task."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from medtrain.types import Batch, JsonObject, Rows


class Forward(NamedTuple):
    """One micro-batch forward.

    objective: () the SUM of the weighted losses, with its graph. Divide by the weight of the
    whole global batch, never by this micro-batch's: means of means are another gradient.
    sums: (5,) float64 detached, in the order of `Totals`.
    """

    objective: torch.Tensor
    sums: torch.Tensor


class Task(Protocol):
    """One kind of learning problem."""

    def weight(self, batch: Batch) -> torch.Tensor:
        """() float64: this micro-batch's share of the loss denominator."""
        ...

    def inputs(self, batch: Batch) -> torch.Tensor:
        """What the model is given for this batch."""
        ...

    def losses(self, outputs: torch.Tensor, batch: Batch) -> Forward:
        """Sum the losses of the model's outputs, which another process may have computed."""
        ...

    def forward(self, model: nn.Module, batch: Batch) -> Forward:
        """Run the model and sum the losses: `losses` of the model at `inputs`."""
        ...

    def rows_of(self, outputs: torch.Tensor, batch: Batch) -> Rows:
        """Per-sample results of the model's outputs, on the CPU."""
        ...

    def rows(self, model: nn.Module, batch: Batch) -> Rows:
        """Per-sample results of an evaluation batch, on the CPU."""
        ...

    def no_rows(self) -> Rows:
        """The same columns without samples."""
        ...

    def metrics(
        self, rows: Rows, groups: NDArray[np.str_] | None, *, intervals: bool
    ) -> JsonObject:
        """The numbers of a whole split from all its rows; intervals take the longest."""
        ...
