"""Activation checkpointing: forget a block's inner results and compute them again in backward."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def recompute_in_backward(block: nn.Module) -> None:
    """Let `block` (in place) store only its input; dropout draws the same numbers again.

    Non-reentrant: with the reentrant kind, parameters behind frozen layers silently get no
    gradient.
    """
    block.forward = partial(
        checkpoint,
        block.forward,
        use_reentrant=False,
        context_fn=partial(_contexts, block),
    )


def _contexts(
    block: nn.Module,
) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    return nullcontext(), _without_statistics(block)


@contextmanager
def _without_statistics(block: nn.Module) -> Iterator[None]:
    """Count a batch once: recomputing must not move running statistics a second time."""
    norms = [m for m in block.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    saved = [(norm, norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
        norm.num_batches_tracked = None
    try:
        yield
    finally:
        for norm, momentum, count in saved:
            norm.momentum = momentum
            norm.num_batches_tracked = count
