"""One label per image: weighted cross-entropy, clinical metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from medtrain.metrics import classification
from medtrain.tasks.base import Forward
from medtrain.types import Batch, JsonObject, Rows, empty_rows


class Classify:
    """Classification of whole images.

    class_weights: (K,), how much each class counts in the minimised loss; reported losses are
    plain means, so that runs with different weights compare. label_smoothing: in [0, 1).
    """

    def __init__(
        self,
        *,
        classes: Sequence[str],
        class_weights: Sequence[float],
        positive_class: str | None,
        inputs: Callable[[Batch], torch.Tensor],
        device: torch.device,
        seed: int,
        label_smoothing: float = 0.0,
    ) -> None:
        self.classes = list(classes)
        self.positive_class = positive_class
        self._weights = torch.tensor(class_weights, dtype=torch.float32, device=device)
        self._inputs = inputs
        self._seed = seed
        self._label_smoothing = label_smoothing

    def weight(self, batch: Batch) -> torch.Tensor:
        """() float64: the sum of the class weights of its labels."""
        return self._weights[batch.labels].sum(dtype=torch.float64)

    def inputs(self, batch: Batch) -> torch.Tensor:
        """(N, C, H, W) float32, normalised and perhaps augmented."""
        return self._inputs(batch)

    def forward(self, model: nn.Module, batch: Batch) -> Forward:
        """Run the model; the loss is in fp32 whatever the precision."""
        return self.losses(model(self.inputs(batch)), batch)

    def losses(self, outputs: torch.Tensor, batch: Batch) -> Forward:
        """Class-weighted cross-entropy of (N, K) logits, summed in fp32."""
        logits = outputs.float()
        losses = functional.cross_entropy(logits, batch.labels, reduction="none")
        objective = (self._smoothed(losses, logits) * self._weights[batch.labels]).sum()
        with torch.no_grad():
            correct = (logits.argmax(dim=1) == batch.labels).sum(dtype=torch.float64)
            sums = torch.stack(
                [
                    objective.double(),
                    self.weight(batch),
                    losses.sum(dtype=torch.float64),
                    correct,
                    torch.full_like(correct, len(batch)),
                ]
            )
        return Forward(objective, sums)

    def _smoothed(self, losses: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """(N,) cross-entropy against targets of which a share is spread over all classes.

        Szegedy et al. 2016. Only the minimised loss; what is reported stays plain.
        """
        share = self._label_smoothing
        if share == 0:
            return losses
        return (1 - share) * losses - share * functional.log_softmax(logits, dim=1).mean(dim=1)

    def logits(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """(N, K) float32, without graph."""
        with torch.no_grad():
            logits: torch.Tensor = model(self.inputs(batch)).float()
        return logits

    def rows(self, model: nn.Module, batch: Batch) -> Rows:
        """index, labels and logits of each sample."""
        return self.rows_of(self.logits(model, batch), batch)

    def rows_of(self, outputs: torch.Tensor, batch: Batch) -> Rows:
        """index, labels and logits of each sample, from (N, K) logits."""
        return {
            "index": batch.index.cpu().numpy(),
            "labels": batch.labels.cpu().numpy(),
            "logits": outputs.float().cpu().numpy(),
        }

    def no_rows(self) -> Rows:
        """The columns of `rows`, empty."""
        return empty_rows(len(self.classes))

    def metrics(
        self, rows: Rows, groups: NDArray[np.str_] | None, *, intervals: bool
    ) -> JsonObject:
        """Clinical metrics, and the unweighted mean cross-entropy as `loss`.

        A function of the rows alone, in float64 on the CPU: the same rows give the same bits.
        """
        return classification(
            rows["logits"],
            rows["labels"],
            groups,
            classes=self.classes,
            positive_class=self.positive_class,
            loss=mean_cross_entropy(rows["logits"], rows["labels"]),
            seed=self._seed,
            intervals=intervals,
        )


def mean_cross_entropy(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Mean of -log softmax(logits)[label] in float64."""
    z = logits.astype(np.float64)
    z -= z.max(axis=1, keepdims=True)
    losses = np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(z)), labels]
    return float(losses.mean()) if len(losses) else float("nan")


def equal_weights(counts: NDArray[np.int64]) -> list[float]:
    """Every class counts the same per sample."""
    return [1.0] * len(counts)


def inverse_frequency(counts: NDArray[np.int64]) -> list[float]:
    """Total / (classes present x samples of the class); 0 for a class without samples."""
    present = counts > 0
    weights = np.zeros(len(counts))
    weights[present] = counts.sum() / (present.sum() * counts[present])
    return [float(w) for w in weights]
