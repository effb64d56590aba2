"""Numeric precision, apart from where tensors live.

The loop always unscales, clips and steps through this object, so a precision that scales its
loss (fp16) fits in without touching it.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import torch

from medtrain.errors import ConfigError
from medtrain.types import JsonObject


class Precision(Protocol):
    """How forward passes compute and how gradients become a step."""

    name: str
    skips_overflow: bool  # `step` itself refuses gradients that overflowed, and scales less

    def autocast(self) -> AbstractContextManager[object]:
        """A context for one forward pass; entered anew for each."""
        ...

    def scale(self, loss: torch.Tensor) -> torch.Tensor:
        """The loss to go backward from."""
        ...

    def unscale(self, optimizer: torch.optim.Optimizer) -> None:
        """Undo `scale` in the gradients, before they are clipped."""
        ...

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """Move the weights once."""
        ...

    def state(self) -> JsonObject:
        """What a checkpoint must hold."""
        ...

    def load_state(self, state: JsonObject) -> None:
        """Take up a checkpoint's state."""
        ...


class Float32:
    """Full precision; the null object of the others."""

    name = "fp32"
    skips_overflow = False

    def autocast(self) -> AbstractContextManager[object]:
        """Nothing is cast."""
        return nullcontext()

    def scale(self, loss: torch.Tensor) -> torch.Tensor:
        """The loss itself."""
        return loss

    def unscale(self, optimizer: torch.optim.Optimizer) -> None:
        """Gradients are as they are."""

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """One optimizer step."""
        optimizer.step()

    def state(self) -> JsonObject:
        """Nothing."""
        return {}

    def load_state(self, state: JsonObject) -> None:
        """Nothing."""


class BFloat16(Float32):
    """bfloat16 autocast over fp32 weights; its range is fp32's, so no loss scaling."""

    name = "bf16"

    def __init__(self, device: torch.device) -> None:
        self._device_type = device.type

    def autocast(self) -> AbstractContextManager[object]:
        """Convolutions and matrix products in bfloat16."""
        return torch.autocast(self._device_type, dtype=torch.bfloat16)


def build_precision(name: str, device: torch.device) -> Precision:
    """fp32, bf16, or auto: bf16 where the GPU has it, fp32 elsewhere (also on the CPU).

    Raises ConfigError when bf16 is asked of a GPU without it.
    """
    has_bf16 = device.type == "cpu" or torch.cuda.is_bf16_supported(including_emulation=False)
    if name == "bf16" and not has_bf16:
        raise ConfigError("train.precision=bf16: this GPU has no bfloat16; use fp32")
    if name == "bf16" or (name == "auto" and device.type == "cuda" and has_bf16):
        return BFloat16(device)
    return Float32()
