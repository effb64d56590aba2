"""A running mean of the weights, which evaluates more calmly than the newest ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from medtrain.types import JsonObject


class WeightAverage:
    """Exponential moving average of parameters and floating-point buffers; decay 0: none.

    The first updates follow faster, by min(decay, (1 + n) / (10 + n)), so that the random initial
    weights are forgotten (as TensorFlow's and timm's). Works on sharded parameters too: every
    rank averages what it holds.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._decay = decay
        self._updates = 0
        named: list[tuple[str, torch.Tensor]] = [
            (n, p) for n, p in model.named_parameters() if p.requires_grad
        ]
        named += [(n, b) for n, b in model.named_buffers() if b.is_floating_point()]
        self._names = [name for name, _ in named] if decay else []
        self._live = [_held_here(tensor.detach()) for _, tensor in named] if decay else []
        self._mean = [tensor.clone() for tensor in self._live]

    @property
    def is_kept(self) -> bool:
        """False when there is no average, and the weights themselves are evaluated."""
        return self._decay > 0

    def update(self) -> None:
        """Follow the weights after a step that was taken."""
        if not self.is_kept:
            return
        self._updates += 1
        decay = min(self._decay, (1 + self._updates) / (10 + self._updates))
        torch._foreach_lerp_(self._mean, self._live, 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the model has the averaged weights; what is changed there becomes the average."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def statistics(self, model: nn.Module) -> dict[str, torch.Tensor]:
        """The averaged buffers of `model` by name, where they lie."""
        buffers = {name for name, _ in model.named_buffers()}
        pairs = zip(self._names, self._mean, strict=True)
        return {name: mean for name, mean in pairs if name in buffers}

    def restart(self) -> None:
        """Take the model's weights, as they are now, for the average."""
        for mean, live in zip(self._mean, self._live, strict=True):
            mean.copy_(live)

    def state(self) -> JsonObject:
        """The number of updates; the tensors are saved as a model's."""
        return {"updates": self._updates}

    def load_state(self, state: JsonObject) -> None:
        """Take up the number of updates."""
        self._updates = int(state["updates"])

    def _swap(self) -> None:
        for mean, live in zip(self._mean, self._live, strict=True):
            held = live.clone()
            live.copy_(mean)
            mean.copy_(held)


def _held_here(tensor: torch.Tensor) -> torch.Tensor:
    """This rank's part of a sharded tensor, in place: torch mixes no plain ones with those."""
    to_local = getattr(tensor, "to_local", None)
    return tensor if to_local is None else to_local()
