"""Optimizer and learning-rate schedule from the configuration."""

from __future__ import annotations

import math

import torch
from torch import nn

from medtrain.config import OptimConfig
from medtrain.types import JsonObject

# Smith & Topin 2017, with the numbers of torch's OneCycleLR: the rate rises from 1/25 of its peak
# over the first 30 % of the steps and ends at 1/10,000 of where it began.
_ONE_CYCLE_RISE = 0.3
_ONE_CYCLE_START = 1 / 25
_ONE_CYCLE_END = _ONE_CYCLE_START / 10_000


def build_optimizer(config: OptimConfig, model: nn.Module) -> torch.optim.Optimizer:
    """AdamW or SGD; biases and normalisation are not decayed.

    Told apart by shape, not by name: they are the parameters with one dimension.
    """
    trainable = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {
            "params": [p for p in trainable if p.ndim > 1],
            "weight_decay": config.weight_decay,
        },
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]
    fused = _is_plain(trainable) if config.fused is None else config.fused
    if config.name == "sgd":
        return torch.optim.SGD(
            groups, lr=config.learning_rate, momentum=config.momentum, fused=fused
        )
    return torch.optim.AdamW(groups, lr=config.learning_rate, fused=fused)


def _is_plain(parameters: list[nn.Parameter]) -> bool:
    """Whether torch's fused kernels take them: float tensors of the CPU or CUDA, not sharded."""
    return all(
        p.is_floating_point()
        and p.device.type in ("cpu", "cuda")
        and not hasattr(p, "device_mesh")  # a DTensor of FSDP
        for p in parameters
    )


class Schedule:
    """The learning rate as a function of the optimizer step: warm-up, then the schedule's shape.

    epoch_steps: optimizer steps of one epoch.
    """

    def __init__(
        self,
        config: OptimConfig,
        optimizer: torch.optim.Optimizer,
        *,
        epoch_steps: int,
        epochs: int,
    ) -> None:
        self._config = config
        self._optimizer = optimizer
        self._epoch_steps = epoch_steps
        self._total_steps = epoch_steps * epochs
        self._shape = _SHAPES[config.schedule]
        self._step = 0
        self._apply()

    @property
    def learning_rate(self) -> float:
        """The rate of the coming step."""
        config, step = self._config, self._step
        if step < config.warmup_steps:
            return config.learning_rate * (step + 1) / config.warmup_steps
        rest = max(1, self._total_steps - config.warmup_steps)
        share = min(1.0, (step - config.warmup_steps) / rest)
        return self._shape(config, share, step // self._epoch_steps)

    def step(self) -> None:
        """Set the rate of the next step."""
        self._step += 1
        self._apply()

    def state(self) -> JsonObject:
        """The number of steps done, and how many make an epoch."""
        return {"step": self._step, "epoch_steps": self._epoch_steps}

    def load_state(self, state: JsonObject, *, epochs_done: float) -> None:
        """Take up the number of steps done.

        epochs_done: with its fraction. Where an epoch now has another number of steps (another
        number of processes, another batch), the schedule goes on at the same share of the run.
        """
        self._step = int(state["step"])
        if state.get("epoch_steps", self._epoch_steps) != self._epoch_steps:
            self._step = round(epochs_done * self._epoch_steps)
        self._apply()

    def _apply(self) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = self.learning_rate


def _constant(config: OptimConfig, share: float, epoch: int) -> float:
    return config.learning_rate


def _cosine(config: OptimConfig, share: float, epoch: int) -> float:
    """Loshchilov & Hutter 2017, without restarts."""
    low = min(config.final_learning_rate, config.learning_rate)
    return _between(config.learning_rate, low, share)


def _steps(config: OptimConfig, share: float, epoch: int) -> float:
    return float(config.learning_rate * config.step_factor ** (epoch // config.step_epochs))


def _one_cycle(config: OptimConfig, share: float, epoch: int) -> float:
    peak = config.learning_rate
    if share < _ONE_CYCLE_RISE:
        return _between(peak * _ONE_CYCLE_START, peak, share / _ONE_CYCLE_RISE)
    return _between(peak, peak * _ONE_CYCLE_END, (share - _ONE_CYCLE_RISE) / (1 - _ONE_CYCLE_RISE))


def _between(start: float, end: float, share: float) -> float:
    """Half a cosine wave from start (share 0) to end (share 1)."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


_SHAPES = {"cosine": _cosine, "step": _steps, "one-cycle": _one_cycle, "none": _constant}
