"""Label smoothing changes what is minimised, not what is reported."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from medtrain.tasks import Classify
from medtrain.types import Batch


def forward(smoothing):
    task = Classify(
        classes=["a", "b", "c"],
        class_weights=[1.0, 1.0, 1.0],
        positive_class=None,
        inputs=lambda batch: batch.images,
        device=torch.device("cpu"),
        seed=0,
        label_smoothing=smoothing,
    )
    logits = torch.tensor([[2.0, 0.5, -1.0], [0.1, 0.2, 0.3]])
    labels = torch.tensor([0, 2])
    return task.forward(nn.Identity(), Batch(logits, labels, labels)), logits, labels


def test_smoothed_objective_is_torchs():
    found, logits, labels = forward(0.1)
    expected = functional.cross_entropy(logits, labels, label_smoothing=0.1, reduction="sum")
    assert float(found.objective) == pytest.approx(float(expected), rel=1e-6)


def test_reported_loss_stays_plain():
    found, logits, labels = forward(0.1)
    plain = functional.cross_entropy(logits, labels, reduction="sum")
    assert float(found.sums[2]) == pytest.approx(float(plain), rel=1e-6)
