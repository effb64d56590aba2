"""Where a pipeline is cut: the contiguous stages whose most expensive one is cheapest."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise

import torch
from torch.utils.flop_counter import FlopCounterMode

from medtrain import distributed
from medtrain.errors import ConfigError
from medtrain.types import Piece

_PROBE_SAMPLES = 2
_ROUNDS = 5


def cut_into_stages(
    pieces: Sequence[Piece], *, stages: int, how: str, sample: tuple[int, int, int]
) -> tuple[list[range], list[tuple[int, ...]]]:
    """Ranges of pieces, one for each stage; and the shape (without N) that enters each piece.

    how: "flops" of the forward pass, the same on every machine; "time", measured by rank 0 and
    sent to all; or the names of the pieces at which stages 2, 3, ... begin. One more shape than
    pieces: the last is the output's. Raises ConfigError when that cannot be.
    """
    if stages > len(pieces):
        raise ConfigError(
            f"the model has {len(pieces)} pieces, too few for a pipeline of {stages} processes"
        )
    shapes, flops = _probe(pieces, sample)
    if how == "flops":
        return balanced(flops, stages), shapes
    if how == "time":
        return balanced(_agreed(_times(pieces, sample)), stages), shapes
    return _at_names(pieces, how.split(","), stages), shapes


def balanced(costs: Sequence[float], stages: int) -> list[range]:
    """Cut positions that make the largest sum of a stage smallest; ties cut later.

    Dynamic programming over (stages, pieces); every stage gets a piece.
    """
    sums = [0.0, *accumulate(costs)]
    count = len(costs)
    best = [[float("inf")] * (count + 1) for _ in range(stages + 1)]
    came = [[0] * (count + 1) for _ in range(stages + 1)]
    best[0][0] = 0.0
    for stage in range(1, stages + 1):
        for stop in range(stage, count + 1):
            for start in range(stage - 1, stop):
                cost = max(best[stage - 1][start], sums[stop] - sums[start])
                if cost <= best[stage][stop]:
                    best[stage][stop], came[stage][stop] = cost, start
    bounds = [count]
    for stage in range(stages, 0, -1):
        bounds.append(came[stage][bounds[-1]])
    return [range(a, b) for a, b in pairwise(reversed(bounds))]


def _at_names(pieces: Sequence[Piece], names: Sequence[str], stages: int) -> list[range]:
    known = [piece.name for piece in pieces]
    firsts = [name.strip() for name in names]
    unknown = [name for name in firsts if name not in known]
    if unknown:
        raise ConfigError(
            f"pipeline.cut: no piece {unknown[0]!r}; flops, time, or some of: {', '.join(known)}"
        )
    bounds = [0, *(known.index(name) for name in firsts), len(pieces)]
    if len(bounds) != stages + 1 or bounds != sorted(set(bounds)):
        raise ConfigError(
            f"pipeline.cut: {stages} processes need {stages - 1} different first pieces in the "
            f"model's order, got {', '.join(firsts)}"
        )
    return [range(a, b) for a, b in pairwise(bounds)]


def _probe(
    pieces: Sequence[Piece], sample: tuple[int, int, int]
) -> tuple[list[tuple[int, ...]], list[float]]:
    """Shapes between the pieces, and multiply-adds of each for one image."""
    shapes: list[tuple[int, ...]] = [tuple(sample)]
    flops: list[float] = []

    def look(piece: Piece, x: torch.Tensor) -> torch.Tensor:
        with FlopCounterMode(display=False) as counter:
            y = piece.run(x)
        # A piece without products still moves its values.
        flops.append(counter.get_total_flops() / _PROBE_SAMPLES + y.numel() / _PROBE_SAMPLES)
        shapes.append(tuple(y.shape[1:]))
        return y

    _walk(pieces, sample, look)
    return shapes, flops


def _times(pieces: Sequence[Piece], sample: tuple[int, int, int]) -> list[float]:
    """Shortest forward time of each piece, in seconds."""
    best = [float("inf")] * len(pieces)
    for _ in range(_ROUNDS):
        seconds: list[float] = []

        def look(piece: Piece, x: torch.Tensor, seconds: list[float] = seconds) -> torch.Tensor:
            begin = time.perf_counter()
            y = piece.run(x)
            seconds.append(time.perf_counter() - begin)
            return y

        _walk(pieces, sample, look)
        best = [min(pair) for pair in zip(best, seconds, strict=True)]
    return best


def _walk(
    pieces: Sequence[Piece],
    sample: tuple[int, int, int],
    look: Callable[[Piece, torch.Tensor], torch.Tensor],
) -> None:
    """Send one small batch through the pieces on the CPU; the model must be in eval mode."""
    x = torch.zeros(_PROBE_SAMPLES, *sample)
    with torch.no_grad():
        for piece in pieces:
            x = look(piece, x)


def _agreed(values: list[float]) -> list[float]:
    return distributed.broadcast(torch.tensor(values, dtype=torch.float64), 0).tolist()
