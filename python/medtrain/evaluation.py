"""Evaluate a split once over all ranks: gather rows, order them, compute the metrics."""

from __future__ import annotations

import numpy as np
from torch import nn

from medtrain.data import EvaluationLoader
from medtrain.precision import Precision
from medtrain.settle import settle
from medtrain.strategies.base import Strategy
from medtrain.tasks.base import Task
from medtrain.types import Evaluation, Rows


def evaluate(
    loader: EvaluationLoader,
    *,
    task: Task,
    model: nn.Module,
    strategy: Strategy,
    precision: Precision,
    intervals: bool,
) -> tuple[Evaluation, list[int]]:
    """(metrics and rows of one split, rows that were left out as corrupt).

    The same bits on every rank and for any number of ranks; so is the VerificationError where a
    sample cannot be used and may not be left out.

    Batches are fixed by the samples' places in the split (EvaluationLoader), rows are sorted by
    place, and the metrics are a function of the sorted rows.
    """
    model.eval()
    parts = [strategy.evaluation_step(task, model, batch, precision) for batch in loader]
    left_out: list[int] = []
    if strategy.agree(1 if loader.trouble else 0):
        left_out = settle(strategy, loader.trouble)
    rows = _sorted(strategy.gather(_joined([task.no_rows(), *parts])))
    groups = loader.split.groups(rows["index"])
    metrics = task.metrics(rows, groups, intervals=intervals)
    return Evaluation(loader.split.name, metrics, rows), left_out


def _joined(parts: list[Rows]) -> Rows:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _sorted(rows: Rows) -> Rows:
    order = np.argsort(rows["index"], kind="stable")
    return {name: column[order] for name, column in rows.items()}
