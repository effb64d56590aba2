"""The training loop: one for every strategy, precision and task.

It receives objects and builds none (`session` does), and nothing in it asks whether it is
distributed: the strategy knows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from medtrain.average import WeightAverage
from medtrain.boundary import Boundary
from medtrain.data import TrainLoader
from medtrain.guard import Guard
from medtrain.journal import Journal
from medtrain.optim import Schedule
from medtrain.precision import Precision
from medtrain.progress import Progress
from medtrain.seed import StepRandomness
from medtrain.strategies.base import Strategy
from medtrain.tasks.base import Task
from medtrain.types import Evaluation


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The few numbers of the configuration that steer the loop."""

    epochs: int
    max_norm: float
    monitor: str
    patience: int  # 0: never stop early
    max_steps: int = 0  # optimizer steps; 0: no limit but the epochs


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Everything the loop works with.

    boundary: what all ranks settle between two steps (it gives the signal to stop for), and how
    they save.
    guard: which steps are taken. average: the running mean of the weights.
    agree_statistics: makes normalisation statistics the same on all ranks.
    validate: evaluates the validation split; None where there is none, and where it was stopped.
    """

    task: Task
    model: nn.Module
    strategy: Strategy
    precision: Precision
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    average: WeightAverage
    loader: TrainLoader
    randomness: StepRandomness
    boundary: Boundary
    guard: Guard
    journal: Journal
    limits: Limits
    agree_statistics: Callable[[], None]
    validate: Callable[[], Evaluation | None]


def fit(parts: Parts, at: Progress) -> int:
    """Train from `at` to the last epoch; returns 0, or the signal that stopped it, all saved."""
    p, strategy, limits = parts, parts.strategy, parts.limits
    while at.epoch < limits.epochs and not _is_over(limits, at):
        p.model.train()
        p.journal.begin_epoch(at, p.loader.wait_s)
        for position, micro_batches in p.loader.epoch(at.epoch, at.position):
            if signal := p.boundary.settle(at):
                return signal
            p.randomness.begin(at.step)
            p.guard.begin()
            out = strategy.train_step(p.task, p.model, micro_batches, p.precision)
            p.precision.unscale(p.optimizer)
            grad_norm = strategy.clip_grad_norm(p.model, limits.max_norm)
            rate = p.schedule.learning_rate
            step = p.guard.judge(at, out, grad_norm, micro_batches)
            if step.is_taken and p.precision.step(p.optimizer):
                p.average.update()
            p.optimizer.zero_grad()
            p.schedule.step()
            at.advance(position, step.totals)
            p.journal.step(at, step, learning_rate=rate, wait_s=p.loader.wait_s)
            if _is_last_step(limits, at):
                break
        p.journal.end_training(at, p.loader.wait_s)
        if signal := p.boundary.settle(at):
            return signal
        p.agree_statistics()
        val = p.validate()
        if signal := p.boundary.settle(at):
            return signal
        p.journal.epoch(at, val, learning_rate=p.schedule.learning_rate, wait_s=p.loader.wait_s)
        is_best = at.end_epoch(_watched(val, limits.monitor), limits.monitor)
        p.boundary.save(at, is_best)
        if signal := p.boundary.settle(at):
            return signal
    return 0


def _watched(val: Evaluation | None, monitor: str) -> float | None:
    value = None if val is None else val.metrics.get(monitor)
    return None if value is None else float(value)


def _is_last_step(limits: Limits, at: Progress) -> bool:
    return 0 < limits.max_steps <= at.step


def _is_over(limits: Limits, at: Progress) -> bool:
    """Before the last epoch: enough steps, or enough epochs without improvement."""
    if _is_last_step(limits, at):
        return True
    return limits.patience > 0 and at.epoch > 0 and at.without_improvement() >= limits.patience
