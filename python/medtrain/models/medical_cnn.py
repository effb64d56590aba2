"""MedicalCNN: ResNet-34 layout with squeeze-and-excitation and a multi-dilated block.

The network of the glaucoma study in `source-systems.md` section 3: 22,494,274 parameters for
three input channels and two classes, and 19,627 buffer elements.
"""

from __future__ import annotations

import torch
from torch import nn


def conv_norm(
    inputs: int, outputs: int, *, size: int = 3, stride: int = 1, dilation: int = 1
) -> list[nn.Module]:
    """A bias-free convolution that keeps the size (up to its stride), and its batch norm."""
    padding = dilation * (size // 2)
    conv = nn.Conv2d(inputs, outputs, size, stride, padding, dilation=dilation, bias=False)
    return [conv, nn.BatchNorm2d(outputs)]


class SqueezeExcitation(nn.Module):
    """Scale each channel by a gate computed from all channel means (Hu et al., 2018)."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.Linear(channels, channels // reduction, bias=False),
            nn.ReLU(),
            nn.Linear(channels // reduction, channels, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> the same shape."""
        gate: torch.Tensor = self.gate(x.mean(dim=(2, 3)))
        return x * gate[:, :, None, None]


class SEResidualBlock(nn.Module):
    """Two 3x3 convolutions and a gate around a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *conv_norm(inputs, outputs, stride=stride),
            nn.ReLU(),
            *conv_norm(outputs, outputs),
            SqueezeExcitation(outputs),
        )
        self.shortcut = (
            nn.Identity()
            if stride == 1 and inputs == outputs
            else nn.Sequential(*conv_norm(inputs, outputs, size=1, stride=stride))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, inputs, H, W) -> (N, outputs, H / stride, W / stride)."""
        return torch.relu(self.body(x) + self.shortcut(x))


class MultiDilatedBlock(nn.Module):
    """Four views of growing reach (dilation 1 to 4), fused by a 1x1 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*conv_norm(channels, channels // 4, dilation=reach), nn.ReLU())
            for reach in (1, 2, 3, 4)
        )
        self.fuse = nn.Sequential(*conv_norm(channels, channels, size=1), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> the same shape."""
        fused: torch.Tensor = self.fuse(torch.cat([branch(x) for branch in self.branches], dim=1))
        return fused


class MedicalCNN(nn.Module):
    """The classifier; its parts are the natural cuts of a pipeline."""

    classifier_name = "head"

    def __init__(self, num_classes: int, in_channels: int = 3, dropout: float = 0.3) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        self.stage1 = _stage(64, 64, blocks=3, stride=1)
        self.stage2 = _stage(64, 128, blocks=4, stride=2)
        self.stage3 = _stage(128, 256, blocks=6, stride=2)
        self.multi_dilated = MultiDilatedBlock(256)
        self.stage4 = _stage(256, 512, blocks=3, stride=2)
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            *_dense(512, 512, dropout),
            *_dense(512, 256, dropout),
            nn.Linear(256, num_classes),
        )
        self.apply(_initialise)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W), normalised -> logits (N, K)."""
        x = self.stem(x)
        x = self.stage2(self.stage1(x))
        x = self.multi_dilated(self.stage3(x))
        logits: torch.Tensor = self.head(self.stage4(x))
        return logits


def _stage(inputs: int, outputs: int, *, blocks: int, stride: int) -> nn.Sequential:
    first = SEResidualBlock(inputs, outputs, stride)
    return nn.Sequential(first, *(SEResidualBlock(outputs, outputs) for _ in range(blocks - 1)))


def _dense(inputs: int, outputs: int, dropout: float) -> list[nn.Module]:
    return [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU(), nn.Dropout(dropout)]


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.01)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
