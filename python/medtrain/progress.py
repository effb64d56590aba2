"""Where a run stands: exactly what a checkpoint must hold besides tensors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from medtrain.types import NO_TOTALS, JsonObject, Totals

_LOWER_IS_BETTER = ("loss",)


def is_higher_better(monitor: str) -> bool:
    """Whether a larger value of the watched metric is the better one."""
    return monitor not in _LOWER_IS_BETTER


@dataclass
class Progress:
    """Counted by the loop, saved and restored with the weights.

    epoch: epochs done. position: samples of the current epoch done, over all ranks.
    step: optimizer steps done since the start, bad ones included. totals: sums of the current
    epoch. watched: the validation value of the last finished epoch. bad_steps: steps not taken
    because their loss or gradient was not finite; bad_in_a_row: up to now.
    """

    epoch: int = 0
    position: int = 0
    step: int = 0
    totals: Totals = NO_TOTALS
    best_value: float | None = None
    best_epoch: int = 0
    watched: float | None = None
    bad_steps: int = 0
    bad_in_a_row: int = 0

    def advance(self, position: int, totals: Totals) -> None:
        """One global step is done."""
        self.position = position
        self.step += 1
        self.totals = Totals(*(a + b for a, b in zip(self.totals, totals, strict=True)))

    def end_epoch(self, value: float | None, monitor: str) -> bool:
        """Count the epoch; True when the watched validation value is the best so far.

        Without a value (no validation split, or undefined there) the newest is the best only as
        long as there has never been a value.
        """
        self.epoch += 1
        self.position = 0
        self.totals = NO_TOTALS
        self.watched = value if value is not None and math.isfinite(value) else None
        is_best = self.best_value is None
        if self.watched is not None:
            sign = 1 if is_higher_better(monitor) else -1
            is_best = is_best or sign * self.watched > sign * (self.best_value or 0.0)
            if is_best:
                self.best_value = self.watched
        if is_best:
            self.best_epoch = self.epoch
        return is_best

    def without_improvement(self) -> int:
        """Epochs since the best one."""
        return self.epoch - self.best_epoch

    def to_json(self) -> JsonObject:
        """As checkpoints hold it."""
        names = (
            *("epoch", "position", "step", "best_value", "best_epoch"),
            *("watched", "bad_steps", "bad_in_a_row"),
        )
        return {name: getattr(self, name) for name in names} | {"totals": list(self.totals)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Progress:
        """From a checkpoint."""
        return cls(**{**values, "totals": Totals(*values["totals"])})
