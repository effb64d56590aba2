"""Numeric precision, apart from where tensors live.

The loop always unscales, clips and steps through this object, so a precision that scales its
loss (fp16) fits in without touching it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import torch
from torch import nn

from medtrain.errors import ConfigError
from medtrain.types import JsonObject

Agree = Callable[[int], int]
"""The largest value of any rank (`Strategy.agree`)."""

_FIRST_SCALE, _GROWTH, _BACKOFF, _GROW_AFTER = 2.0**16, 2.0, 0.5, 2000  # as torch.amp.GradScaler
_SLOW = 1.2  # a half precision slower than fp32 by more than this is worth a word


class Precision(Protocol):
    """How forward passes compute and how gradients become a step.

    caution: what people should know before they wait for this precision here, or None.
    """

    name: str
    caution: str | None

    @property
    def skips_overflow(self) -> bool:
        """Whether `step` itself refuses gradients that overflowed, and scales less."""
        ...

    def autocast(self) -> AbstractContextManager[object]:
        """A context for one forward pass; entered anew for each."""
        ...

    def scale(self, loss: torch.Tensor) -> torch.Tensor:
        """The loss to go backward from."""
        ...

    def unscale(self, optimizer: torch.optim.Optimizer) -> None:
        """Undo `scale` in the gradients, before they are clipped."""
        ...

    def step(self, optimizer: torch.optim.Optimizer) -> bool:
        """Move the weights once; False when this step was left out because of an overflow."""
        ...

    def state(self) -> JsonObject:
        """What a checkpoint must hold."""
        ...

    def load_state(self, state: JsonObject) -> None:
        """Take up a checkpoint's state, also one of another precision."""
        ...


class Float32:
    """Full precision; the null object of the others."""

    name = "fp32"
    caution: str | None = None

    @property
    def skips_overflow(self) -> bool:
        """Nothing is scaled."""
        return False

    def autocast(self) -> AbstractContextManager[object]:
        """Nothing is cast."""
        return nullcontext()

    def scale(self, loss: torch.Tensor) -> torch.Tensor:
        """The loss itself."""
        return loss

    def unscale(self, optimizer: torch.optim.Optimizer) -> None:
        """Gradients are as they are."""

    def step(self, optimizer: torch.optim.Optimizer) -> bool:
        """One optimizer step."""
        optimizer.step()
        return True

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
        self.caution = _caution(self.name, torch.bfloat16, device)

    def autocast(self) -> AbstractContextManager[object]:
        """Convolutions and matrix products in bfloat16."""
        return torch.autocast(self._device_type, dtype=torch.bfloat16)


class Float16(Float32):
    """fp16 autocast over fp32 weights, with a loss scale that follows what gradients bear.

    Small gradients vanish in fp16, so the loss is multiplied by a scale and the gradients are
    divided by it. An infinite or undefined gradient on any rank halves the scale and leaves the
    step out on all of them; 2000 good steps double it (Micikevicius et al., 2018).

    agree: the largest flag of any rank. Each rank sees only its own shard (FSDP) or stage
    (pipeline), and a step that only some of them leave out would tear the model apart.
    """

    name = "fp16"

    def __init__(self, device: torch.device, agree: Agree) -> None:
        self._device_type = device.type
        self._agree = agree
        self.loss_scale = _FIRST_SCALE
        self._finite = torch.ones((), dtype=torch.bool)
        self._good_steps = 0
        self.caution = _caution(self.name, torch.float16, device)

    @property
    def skips_overflow(self) -> bool:
        """Only while a smaller scale may help: unscaled, an overflow is a fault like any other."""
        return self.loss_scale > 1.0

    def autocast(self) -> AbstractContextManager[object]:
        """Convolutions and matrix products in fp16."""
        return torch.autocast(self._device_type, dtype=torch.float16)

    def scale(self, loss: torch.Tensor) -> torch.Tensor:
        """The loss times the scale."""
        return loss * self.loss_scale

    def unscale(self, optimizer: torch.optim.Optimizer) -> None:
        """Divide the gradients by the scale, and look whether any of them overflowed.

        Nobody waits for the answer here: a GPU goes on with clipping.
        """
        gradients = [gradient for gradient in _local_gradients(optimizer) if gradient.numel()]
        if gradients:  # a rank may hold none of a small sharded model
            torch._foreach_mul_(gradients, 1.0 / self.loss_scale)
            largest = torch.stack(torch._foreach_norm(gradients, float("inf")))
            self._finite = torch.isfinite(largest).all()

    def step(self, optimizer: torch.optim.Optimizer) -> bool:
        """One optimizer step, or none after an overflow on any rank; then the next scale."""
        if self._agree(int(not self._finite)):
            self.loss_scale *= _BACKOFF
            self._good_steps = 0
            return False
        optimizer.step()
        self._good_steps += 1
        if self._good_steps == _GROW_AFTER:
            self.loss_scale *= _GROWTH
            self._good_steps = 0
        return True

    def state(self) -> JsonObject:
        """The scale and how long it has been good."""
        return {"loss_scale": self.loss_scale, "good_steps": self._good_steps}

    def load_state(self, state: JsonObject) -> None:
        """Take up the scale; a checkpoint of another precision has none."""
        self.loss_scale = float(state.get("loss_scale", _FIRST_SCALE))
        self._good_steps = int(state.get("good_steps", 0))


def resolve_precision(name: str, device: torch.device) -> str:
    """fp32, bf16 or fp16 for what was asked; auto: bf16 where the GPU has it, fp32 elsewhere.

    Raises ConfigError when bf16 is asked of a GPU without it.
    """
    has_bf16 = device.type == "cpu" or torch.cuda.is_bf16_supported(including_emulation=False)
    if name == "bf16" and not has_bf16:
        raise ConfigError("train.precision=bf16: this GPU has no bfloat16; use fp16 or fp32")
    if name == "auto":
        return "bf16" if device.type == "cuda" and has_bf16 else "fp32"
    return name


def build_precision(name: str, device: torch.device, agree: Agree = int) -> Precision:
    """The precision that `resolve_precision` names.

    agree: how ranks find the largest of their flags; alone, a flag is its own largest.
    """
    resolved = resolve_precision(name, device)
    if resolved == "bf16":
        return BFloat16(device)
    return Float16(device, agree) if resolved == "fp16" else Float32()


def compute_dtype(name: str, device: torch.device) -> torch.dtype:
    """The dtype of convolutions and matrix products under this precision."""
    halves = {"bf16": torch.bfloat16, "fp16": torch.float16}
    return halves.get(resolve_precision(name, device), torch.float32)


def _local_gradients(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    """The gradients as plain tensors; of a sharded one, this rank's shard."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    gradients = [p.grad for p in parameters if p.grad is not None]
    return [g.to_local() if hasattr(g, "to_local") else g for g in gradients]


def _caution(name: str, dtype: torch.dtype, device: torch.device) -> str | None:
    """A warning when a CPU without instructions for `dtype` only emulates it."""
    if device.type != "cpu":
        return None
    slowdown = measured_slowdown(dtype)
    if slowdown < _SLOW:
        return None
    return (
        f"warning: {name} is {slowdown:.1f} times slower than fp32 on this CPU "
        "(forward and backward of one 3x3 convolution, 32 channels, just measured); use fp32"
    )


def measured_slowdown(dtype: torch.dtype) -> float:
    """Time of a small convolution under CPU autocast to `dtype`, over its time in fp32."""
    random_state = torch.get_rng_state()
    conv = nn.Conv2d(32, 32, 3, padding=1)
    images = torch.randn(4, 32, 28, 28)
    torch.set_rng_state(random_state)  # what is drawn here must not change what is trained

    def seconds(enabled: bool) -> float:
        begin = time.perf_counter()
        with torch.autocast("cpu", dtype=dtype, enabled=enabled):
            loss = conv(images).float().sum()
        loss.backward()
        return time.perf_counter() - begin

    seconds(True), seconds(False)  # first calls choose and prepare kernels
    rounds = [(seconds(True), seconds(False)) for _ in range(5)]
    return min(half for half, _ in rounds) / min(full for _, full in rounds)
