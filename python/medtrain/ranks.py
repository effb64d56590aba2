"""What each process of a run ended with: its peak memory, and a checksum of its weights."""

from __future__ import annotations

import hashlib
import resource

import numpy as np
import torch

from medtrain.strategies.base import Strategy, Tensors
from medtrain.types import JsonObject


def describe_ranks(strategy: Strategy, weights: Tensors) -> list[JsonObject]:
    """One object a rank, on every rank: rank, peak_memory_bytes, weights.

    weights: this rank's view of the whole model, as `strategy.state` gives it; the checksum is of
    names, shapes and bytes, so ranks that are equal to the bit say the same. All ranks call it.
    """
    mine = {
        "index": np.array([strategy.rank], np.int64),
        "memory": np.array([peak_memory_bytes(strategy.device)], np.int64),
        "weights": np.array([checksum(weights)], np.int64),
    }
    rows = strategy.gather(mine)
    columns = (rows[name].tolist() for name in ("index", "memory", "weights"))
    found = [
        {"rank": rank, "peak_memory_bytes": memory, "weights": f"{weights & (2**64 - 1):016x}"}
        for rank, memory, weights in zip(*columns, strict=True)
    ]
    return sorted(found, key=lambda row: row["rank"])


def peak_memory_bytes(device: torch.device) -> int:
    """The most that was ever in use: on a GPU what torch had allocated, else resident memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # KiB on Linux


def checksum(weights: Tensors) -> int:
    """The first 64 bits of SHA-256 over all tensors by name, as a signed number."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\0".encode())
        digest.update(tensor.view(torch.uint8).numpy().tobytes() if tensor.ndim else _one(tensor))
    return int.from_bytes(digest.digest()[:8], "little", signed=True)


def _one(tensor: torch.Tensor) -> bytes:
    return tensor.reshape(1).view(torch.uint8).numpy().tobytes()
