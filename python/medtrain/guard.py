"""Which steps may move the weights: a loss or gradient that is not finite never does.

Loss sums and the gradient norm are the same numbers on every rank, so the ranks decide alike
without asking each other.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from medtrain import records
from medtrain.errors import DivergedError
from medtrain.precision import Precision
from medtrain.progress import Progress
from medtrain.strategies.base import Strategy
from medtrain.types import NO_TOTALS, Batch, StepOutput, StepVerdict, Totals

FILE_NAME = "bad_batches.jsonl"


class Guard:
    """Judges each step and keeps a bad one from leaving traces.

    max_bad_steps: bad steps in a row before the run is ended; 0: never.
    run: where the ids of bad batches are written; None on all ranks but the first.
    ids: rows of the training split -> ids.
    """

    def __init__(
        self,
        *,
        model: nn.Module,
        strategy: Strategy,
        precision: Precision,
        max_bad_steps: int,
        run: Path | None,
        ids: Callable[[NDArray[np.int64]], NDArray[np.str_]],
    ) -> None:
        self._strategy = strategy
        self._precision = precision
        self._max_bad_steps = max_bad_steps
        self._run = run
        self._ids = ids
        # A forward pass that overflows leaves its NaN in the running statistics.
        self._statistics = list(model.buffers())
        self._before = [b.detach().clone() for b in self._statistics]

    def begin(self) -> None:
        """Remember what a bad step would spoil."""
        if self._statistics:
            torch._foreach_copy_(self._before, self._statistics)

    def judge(
        self,
        at: Progress,
        out: StepOutput,
        grad_norm: torch.Tensor,
        micro_batches: Sequence[Batch],
    ) -> StepVerdict:
        """Read the step's numbers and decide; raises DivergedError after too many bad steps."""
        *sums, norm = torch.cat([out.sums, grad_norm.detach().double().reshape(1)]).tolist()
        totals = Totals(*sums)
        if totals.samples == 0:  # every sample of this global batch was left out
            return StepVerdict(totals, norm, is_taken=False, is_bad=False)
        if not math.isfinite(totals.objective):
            return self._refuse(at, totals, norm, micro_batches)
        if not math.isfinite(norm) and not self._precision.skips_overflow:
            return self._refuse(at, totals, norm, micro_batches)
        at.bad_in_a_row = 0
        return StepVerdict(totals, norm, is_taken=True, is_bad=False)

    def _refuse(
        self, at: Progress, totals: Totals, norm: float, micro_batches: Sequence[Batch]
    ) -> StepVerdict:
        if self._statistics:
            torch._foreach_copy_(self._statistics, self._before)
        at.bad_steps += 1
        at.bad_in_a_row += 1
        self._write(at, totals, norm, micro_batches)
        if 0 < self._max_bad_steps <= at.bad_in_a_row:
            where = "" if self._run is None else f"; their samples are in {self._run / FILE_NAME}"
            raise DivergedError(
                f"{at.bad_in_a_row} steps in a row had a loss or gradient that is not finite, "
                f"the last one step {at.step + 1} in epoch {at.epoch + 1}{where}",
                hint="lower optim.learning_rate, use --precision fp32, or look at those samples",
            )
        return StepVerdict(NO_TOTALS, norm, is_taken=False, is_bad=True)

    def _write(
        self, at: Progress, totals: Totals, norm: float, micro_batches: Sequence[Batch]
    ) -> None:
        rows = np.concatenate([batch.index.cpu().numpy() for batch in micro_batches])
        rows = np.unique(self._strategy.gather({"index": rows})["index"])
        if self._run is None:
            return
        record = {
            "epoch": at.epoch + 1,
            "step": at.step + 1,
            "loss": totals.mean_loss,
            "grad_norm": norm,
            "ids": self._ids(rows).tolist(),
            "time": records.now(),
        }
        with (self._run / FILE_NAME).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(records.finite(record), allow_nan=False) + "\n")
