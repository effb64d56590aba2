"""A network of a few thousand parameters, for tests and for trying a pipeline end to end."""

from __future__ import annotations

import torch
from torch import nn


class TinyCNN(nn.Module):
    """Two strided convolutions and a linear head, with every kind of layer that matters."""

    classifier_name = "head"

    def __init__(self, num_classes: int, in_channels: int = 3, dropout: float = 0.1) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 16, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(),
        )
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(32, 32),
            nn.BatchNorm1d(32),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(32, num_classes),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W), normalised -> logits (N, K)."""
        logits: torch.Tensor = self.head(self.features(x))
        return logits
