"""Batch normalisation with the statistics of all data ranks' samples (Ioffe & Szegedy, 2015).

torch's SyncBatchNorm refuses the CPU; this one is made of all-reduced sums and works with gloo
too. On GPUs torch's own is taken where it fits.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from medtrain import distributed


def synchronise_norms(model: nn.Module, device: torch.device) -> nn.Module:
    """Let every batch normalisation of the model see the samples of all ranks.

    Ranks without samples must take part with an empty batch, in train mode.
    """
    if device.type == "cuda" and all(type(norm) in _PLAIN for norm in _norms(model)):
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        return converted
    for norm in _norms(model):
        # The instance's forward, not another class: names, state and bundled activations stay.
        norm.forward = partial(_forward, norm)  # type: ignore[method-assign]
    return model


_PLAIN = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def _norms(model: nn.Module) -> list[_BatchNorm]:
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]


class _SumOverRanks(torch.autograd.Function):
    """Every rank's loss depends on the sum, so its gradient is the sum of all ranks' gradients."""

    @staticmethod
    def forward(ctx: FunctionCtx, tensor: torch.Tensor) -> torch.Tensor:
        return distributed.sum_over_ranks(tensor.clone())

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: torch.Tensor) -> torch.Tensor:
        return distributed.sum_over_ranks(gradients[0].contiguous().clone())


def _sum_over_ranks(tensor: torch.Tensor) -> torch.Tensor:
    summed: torch.Tensor = _SumOverRanks.apply(tensor)
    return summed


def _forward(norm: Any, x: torch.Tensor) -> torch.Tensor:  # noqa: ANN401 (any batch norm)
    """(N, C, ...) -> the same shape; N may be 0 on some ranks."""
    normalised = _normalise(norm, x)
    for tail in ("drop", "act"):  # timm bundles them with the normalisation
        if hasattr(norm, tail):
            normalised = getattr(norm, tail)(normalised)
    return normalised


def _normalise(norm: Any, x: torch.Tensor) -> torch.Tensor:  # noqa: ANN401
    if not norm.training:
        return functional.batch_norm(
            x, norm.running_mean, norm.running_var, norm.weight, norm.bias, False, 0.0, norm.eps
        )
    axes = [axis for axis in range(x.ndim) if axis != 1]
    shape = [1, -1] + [1] * (x.ndim - 2)
    values = x.float()
    here = values.new_full((1,), values.numel() / values.shape[1])
    first = _sum_over_ranks(torch.cat([values.sum(axes), here]))
    mean, count = first[:-1] / first[-1], first[-1].detach()
    # The mean first and deviations from it after: E[x^2] - E[x]^2 cancels in fp32.
    centred = values - mean.view(shape)
    var = _sum_over_ranks(centred.square().sum(axes)) / count
    with torch.no_grad():
        _update_running(norm, mean, var, count)
    scale = torch.rsqrt(var + norm.eps)
    if norm.weight is not None:
        scale = scale * norm.weight
    result = centred * scale.view(shape)
    if norm.bias is not None:
        result = result + norm.bias.view(shape)
    return result.to(x.dtype)


def _update_running(
    norm: Any,  # noqa: ANN401
    mean: torch.Tensor,
    var: torch.Tensor,
    count: torch.Tensor,
) -> None:
    if not norm.track_running_stats:
        return
    norm.num_batches_tracked.add_(1)
    share = norm.momentum
    if share is None:
        share = 1.0 / float(norm.num_batches_tracked)
    norm.running_mean.lerp_(mean, share)
    norm.running_var.lerp_(var * (count / (count - 1)), share)
