"""Where a run stands: exactly what a checkpoint must hold besides tensors."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch

from medtrain.types import NO_TOTALS, JsonObject, StepOutput, Totals

_LOWER_IS_BETTER = ("loss",)


@dataclass
class Progress:
    """Counted by the loop, saved and restored with the weights.

    epoch: epochs done. position: samples of the current epoch done, over all ranks.
    step: optimizer steps done since the start. totals: sums of the current epoch.
    """

    epoch: int = 0
    position: int = 0
    step: int = 0
    totals: Totals = NO_TOTALS
    best_value: float | None = None
    best_epoch: int = 0
    _sums: torch.Tensor | None = field(default=None, repr=False)

    def advance(self, position: int, out: StepOutput) -> None:
        """One global step is done; its sums stay on the device until somebody asks."""
        self.position = position
        self.step += 1
        before = out.sums.new_tensor(self.totals) if self._sums is None else self._sums
        self._sums = before + out.sums

    def read_totals(self) -> Totals:
        """The sums of the epoch so far; waits for the device."""
        if self._sums is not None:
            self.totals = Totals(*self._sums.tolist())
        return self.totals

    def end_epoch(self, value: float | None, monitor: str) -> bool:
        """Count the epoch; True when the watched validation value is the best so far.

        Without a value (no validation split, or undefined there) the newest is the best only as
        long as there has never been a value.
        """
        self.epoch += 1
        self.position = 0
        self.totals, self._sums = NO_TOTALS, None
        is_best = self.best_value is None
        if value is not None and math.isfinite(value):
            sign = -1 if monitor in _LOWER_IS_BETTER else 1
            is_best = is_best or sign * value > sign * (self.best_value or 0.0)
            if is_best:
                self.best_value = value
        if is_best:
            self.best_epoch = self.epoch
        return is_best

    def without_improvement(self) -> int:
        """Epochs since the best one."""
        return self.epoch - self.best_epoch

    def to_json(self) -> JsonObject:
        """As checkpoints hold it."""
        self.read_totals()
        names = ("epoch", "position", "step", "best_value", "best_epoch")
        return {name: getattr(self, name) for name in names} | {"totals": list(self.totals)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Progress:
        """From a checkpoint."""
        return cls(**{**values, "totals": Totals(*values["totals"])})
