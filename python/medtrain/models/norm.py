"""Normalisation that does not look across the batch, in place of batch normalisation."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

_MOST_GROUPS = 32  # Wu & He, 2018
_VECTOR_GROUP = 16  # channels of a group where there are no pixels: one alone becomes constant


class FrozenBatchNorm(nn.Module):
    """Batch normalisation by stored statistics, in training too; scale and shift still train."""

    running_mean: torch.Tensor
    running_var: torch.Tensor

    def __init__(self, original: _BatchNorm) -> None:
        super().__init__()
        features = original.num_features
        self.eps = original.eps
        self.weight = original.weight if original.affine else nn.Parameter(torch.ones(features))
        self.bias = original.bias if original.affine else nn.Parameter(torch.zeros(features))
        mean, var = original.running_mean, original.running_var
        self.register_buffer("running_mean", torch.zeros(features) if mean is None else mean)
        self.register_buffer("running_var", torch.ones(features) if var is None else var)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The same shape, normalised per channel."""
        return functional.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
        )


def replace_norm(model: nn.Module, kind: str) -> nn.Module:
    """Replace every batch normalisation by `kind` ("batch" leaves them), keeping scale and shift.

    Layers that bundle an activation with their normalisation (timm's BatchNormAct2d) keep it.
    """
    if kind == "batch":
        return model
    for name, child in model.named_children():
        if isinstance(child, _BatchNorm):
            setattr(model, name, _with_tail(_replacement(child, kind), child))
        else:
            replace_norm(child, kind)
    return model


def _replacement(norm: _BatchNorm, kind: str) -> nn.Module:
    if kind == "frozen":
        return FrozenBatchNorm(norm)
    features = norm.num_features
    smallest = _VECTOR_GROUP if isinstance(norm, nn.BatchNorm1d) else 1
    most = max(1, min(_MOST_GROUPS, features // smallest))
    groups = next(g for g in range(most, 0, -1) if features % g == 0)
    group_norm = nn.GroupNorm(groups, features, eps=norm.eps)
    if norm.affine:
        group_norm.weight, group_norm.bias = norm.weight, norm.bias
    return group_norm


def _with_tail(norm: nn.Module, original: _BatchNorm) -> nn.Module:
    tail = [getattr(original, part) for part in ("drop", "act") if hasattr(original, part)]
    return nn.Sequential(norm, *tail) if tail else norm
