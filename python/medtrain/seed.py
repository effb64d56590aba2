"""Randomness as a pure function of where we are, so that it never has to be saved or shared.

Sample order depends on (seed, epoch, position), augmentation on (seed, epoch, sample), dropout
on (seed, step, rank). Nothing depends on time, threads or the number of processes; resuming
needs only the position.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

ORDER, AUGMENT, DROPOUT, WEIGHTS = range(4)
"""Streams: different uses of one seed never share numbers."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_WORD = 2**64 - 1


def mix(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finaliser: every input bit changes about half of the output bits.

    Our own few lines, because NumPy does not promise the same streams in its next version.
    """
    with np.errstate(over="ignore"):
        value = value + _GOLDEN
        value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(value ^ (value >> np.uint64(31)), dtype=np.uint64)


def key(*parts: int) -> np.uint64:
    """One 64-bit key from a few whole numbers; their order matters."""
    state = np.zeros(1, np.uint64)
    for part in parts:
        state = mix(state ^ np.uint64(part & _WORD))
    return np.uint64(state[0])


def order(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    """A permutation of range(count), the same on every machine and NumPy version."""
    # `mix` maps no two numbers to one, so there are no ties that sorting could order differently.
    keys = mix(np.arange(count, dtype=np.uint64) ^ key(seed, ORDER, epoch))
    return np.argsort(keys).astype(np.int64, copy=False)


def uniforms(seed: int, epoch: int, samples: NDArray[np.int64], draws: int) -> NDArray[np.float32]:
    """(N, draws) numbers in [0, 1): a row depends on seed, epoch and its sample, nothing else."""
    rows = mix(samples.astype(np.uint64) ^ key(seed, AUGMENT, epoch))
    columns = mix(np.arange(draws, dtype=np.uint64))
    bits = mix(rows[:, None] ^ columns[None, :]) >> np.uint64(40)
    return (bits.astype(np.float32) / np.float32(2**24)).astype(np.float32)


def seed_weights(seed: int) -> None:
    """Start the model's initial weights; the same on every rank."""
    torch.manual_seed(int(key(seed, WEIGHTS)))


class StepRandomness:
    """Reseeds torch's own generators (dropout) at every step, apart for each data rank."""

    def __init__(self, seed: int, data_rank: int) -> None:
        self._seed = seed
        self._data_rank = data_rank

    def begin(self, step: int) -> None:
        """Make what torch draws in this step a function of (seed, step, rank)."""
        torch.manual_seed(int(key(self._seed, DROPOUT, step, self._data_rank)))
