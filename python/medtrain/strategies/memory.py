"""What training takes of each process's memory, so that strategies can be compared."""

from __future__ import annotations

import resource

import torch
from torch import nn

from medtrain import distributed
from medtrain.types import JsonObject

_NAMES = (
    *("parameter_bytes", "gradient_bytes", "optimizer_bytes"),
    *("peak_bytes", "peak_reserved_bytes"),
)


def memory_of_ranks(
    model: nn.Module, optimizer: torch.optim.Optimizer, device: torch.device
) -> JsonObject:
    """Bytes per rank, and the largest of any rank under the same names.

    Parameters and optimizer state are counted as they are held: a shard, a stage or all.
    gradient_bytes: what the gradients take between backward and step, as much as the parameters
    that are trained. peak_bytes: the most that CUDA tensors have taken, and peak_reserved_bytes
    what CUDA's allocator has held for them; on the CPU both are the process's peak resident
    memory, all of Python and torch included. All ranks must call it.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    mine = [
        sum(_bytes(p) for p in model.parameters()),
        sum(_bytes(p) for p in trained),
        sum(_bytes(v) for slots in optimizer.state.values() for v in slots.values()),
        *_peak(device),
    ]
    ranks = distributed.gather_numbers(mine)
    return {
        **{name: max(rank[at] for rank in ranks) for at, name in enumerate(_NAMES)},
        "ranks": [dict(zip(_NAMES, rank, strict=True)) for rank in ranks],
    }


def _bytes(value: object) -> int:
    if not isinstance(value, torch.Tensor):
        return 0
    local = value.to_local() if hasattr(value, "to_local") else value
    return local.numel() * local.element_size()


def _peak(device: torch.device) -> tuple[int, int]:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device), torch.cuda.max_memory_reserved(device)
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts KiB
    return resident, resident
