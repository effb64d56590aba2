"""Optimizer and learning-rate schedule from the configuration."""

from __future__ import annotations

import math

import torch
from torch import nn

from medtrain.config import OptimConfig
from medtrain.types import JsonObject


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
    if config.name == "sgd":
        return torch.optim.SGD(groups, lr=config.learning_rate, momentum=config.momentum)
    return torch.optim.AdamW(groups, lr=config.learning_rate)


class Schedule:
    """The learning rate as a function of the optimizer step: warm-up, then cosine or constant."""

    def __init__(
        self, config: OptimConfig, optimizer: torch.optim.Optimizer, total_steps: int
    ) -> None:
        self._config = config
        self._optimizer = optimizer
        self._total_steps = total_steps
        self._step = 0
        self._apply()

    @property
    def learning_rate(self) -> float:
        """The rate of the coming step."""
        config, step = self._config, self._step
        if step < config.warmup_steps:
            return config.learning_rate * (step + 1) / config.warmup_steps
        if config.schedule == "none":
            return config.learning_rate
        rest = max(1, self._total_steps - config.warmup_steps)
        share = min(1.0, (step - config.warmup_steps) / rest)
        low = min(config.final_learning_rate, config.learning_rate)
        return low + (config.learning_rate - low) * (1 + math.cos(math.pi * share)) / 2

    def step(self) -> None:
        """Set the rate of the next step."""
        self._step += 1
        self._apply()

    def state(self) -> JsonObject:
        """The number of steps done."""
        return {"step": self._step}

    def load_state(self, state: JsonObject) -> None:
        """Take up the number of steps done."""
        self._step = int(state["step"])
        self._apply()

    def _apply(self) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = self.learning_rate
