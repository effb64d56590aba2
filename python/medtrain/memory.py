"""Say what would fit when memory runs out, from bytes that are counted, not guessed."""

from __future__ import annotations

import gc
import resource
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from medtrain.errors import OutOfMemoryError
from medtrain.tasks.base import Task
from medtrain.types import Batch

_GIB = 2**30
# Beside what autograd keeps, a pass needs workspaces and gradients of activations.
_BESIDE_SAVED = 1.3


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes of a training step.

    fixed: weights, gradients and optimizer state. sample: what each sample adds. free: what
    there was for samples.
    """

    fixed: int
    sample: int
    free: int

    @property
    def fitting(self) -> int:
        """Samples of the largest micro-batch that should fit; 0 when none does."""
        return max(0, int(self.free // self.sample)) if self.sample else 0


def is_out_of_memory(error: BaseException) -> bool:
    """Whether Python, CUDA or torch's CPU allocator ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def explain_model(error: BaseException) -> OutOfMemoryError:
    """The error for people where not even the model has room."""
    return OutOfMemoryError(
        f"out of memory before the first step ({_reason(error)}): the model itself does not fit",
        hint="use a smaller model, or share it among more processes with `medtrain fsdp` or "
        "`medtrain pipeline`",
    )


def explain(
    error: BaseException,
    *,
    batch_size: int,
    accumulate: int,
    task: Task,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    sample: Batch,
) -> OutOfMemoryError:
    """The error for people: how much a sample needs, and which batch size would fit.

    sample: two samples or more to measure with. The global batch stays the same with a smaller
    micro-batch and more accumulation.
    """
    device = next(model.parameters()).device
    need = _measure(task, model, optimizer, sample, device)
    fits = batch_size // 2 if need is None else min(need.fitting, batch_size // 2)
    message = f"out of memory at a batch size of {batch_size} ({_reason(error)})"
    if need is not None:
        message += (
            f"; weights, gradients and optimizer need {need.fixed / _GIB:.2f} GiB, "
            f"each sample about {need.sample / _GIB:.3f} GiB, "
            f"and {need.free / _GIB:.2f} GiB are there for samples"
        )
    if fits < 1:
        return OutOfMemoryError(message, hint="use a smaller model or smaller images")
    times = accumulate * -(-batch_size // fits)
    kept = f"--batch-size {fits} --accumulate {times} keeps the global batch"
    return OutOfMemoryError(message, hint=f"{kept}, or more processes with fewer samples each")


def _reason(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _measure(
    task: Task,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    sample: Batch,
    device: torch.device,
) -> Need | None:
    """None where a small forward pass is not possible either (or would need other ranks)."""
    if hasattr(model, "unshard"):  # FSDP gathers weights from ranks that are elsewhere
        return None
    optimizer.zero_grad()
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    try:
        saved = _saved_bytes(task, getattr(model, "module", model), sample)
    except Exception:  # the advice must never hide the error it is about
        return None
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    state = sum(
        value.numel() * value.element_size()
        for values in optimizer.state.values()
        for value in values.values()
        if isinstance(value, torch.Tensor)
    )
    # Gradients were just given back; they will be needed again.
    free = _free_bytes(device) - weights
    return Need(2 * weights + state, int(saved * _BESIDE_SAVED / len(sample)), max(0, free))


def _saved_bytes(task: Task, model: nn.Module, sample: Batch) -> int:
    """Bytes that autograd keeps of one forward pass, each storage once, weights left out."""
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        task.forward(model, sample)
    return sum(kept.values())


def _free_bytes(device: torch.device) -> int:
    """What this process could still take."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    limits = [_available_here()]
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        limits.append(soft - pages * resource.getpagesize())
    with suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        most = int((group / "memory.max").read_text(encoding="ascii"))
        limits.append(most - int((group / "memory.current").read_text(encoding="ascii")))
    return max(0, min(limits))


def _available_here() -> int:
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0
