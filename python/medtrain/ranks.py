"""Whether all processes of a run ended with the same weights: a checksum of each."""

from __future__ import annotations

import hashlib

import numpy as np
import torch

from medtrain.strategies.base import Strategy, Tensors
from medtrain.types import JsonObject


def describe_ranks(strategy: Strategy, weights: Tensors) -> list[JsonObject]:
    """One object a rank, on every rank: rank, weights.

    weights: this rank's view of the whole model, as `strategy.state` gives it; the checksum is of
    names, shapes and bytes, so ranks that are equal to the bit say the same. All ranks call it.
    """
    mine = {
        "index": np.array([strategy.rank], np.int64),
        "weights": np.array([checksum(weights)], np.int64),
    }
    rows = strategy.gather(mine)
    pairs = zip(rows["index"].tolist(), rows["weights"].tolist(), strict=True)
    return [
        {"rank": rank, "weights": f"{value & (2**64 - 1):016x}"} for rank, value in sorted(pairs)
    ]


def checksum(weights: Tensors) -> int:
    """The first 64 bits of SHA-256 over all tensors by name, as a signed number."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return int.from_bytes(digest.digest()[:8], "little", signed=True)
