"""Normalisation statistics, of which every data rank has its own between two agreements.

A checkpoint inside an epoch holds what the ranks agreed on, for a resumption with another number
of processes, and beside it each rank's own, for an exact one with the same number.
"""

from __future__ import annotations

import numpy as np
import torch

from medtrain.strategies.base import Strategy

Statistics = dict[str, torch.Tensor]


def copies(statistics: Statistics) -> Statistics:
    """Copies to put back later."""
    return {name: tensor.detach().clone() for name, tensor in statistics.items()}


def put_back(statistics: Statistics, saved: Statistics) -> None:
    """Overwrite statistics, in place, by what was copied."""
    for name, tensor in statistics.items():
        tensor.copy_(saved[name])


def of_all_ranks(strategy: Strategy, statistics: Statistics) -> Statistics:
    """(ranks, ...) of each on the CPU, on every rank; nothing where there is one data rank."""
    if strategy.data_degree == 1 or not statistics:
        return {}
    rows = {name: tensor.cpu().numpy()[None] for name, tensor in statistics.items()}
    rows["rank"] = np.array([strategy.data_rank])
    gathered = strategy.gather(rows)
    order = np.argsort(gathered.pop("rank"), kind="stable")
    return {name: torch.from_numpy(column[order]) for name, column in gathered.items()}


def take_own(strategy: Strategy, statistics: Statistics, saved: Statistics) -> None:
    """Take this rank's own from `of_all_ranks`, unless there were more or fewer ranks then."""
    ranks = {len(tensor) for tensor in saved.values()}
    if ranks == {strategy.data_degree} and saved.keys() == statistics.keys():
        put_back(statistics, {name: saved[name][strategy.data_rank] for name in statistics})
