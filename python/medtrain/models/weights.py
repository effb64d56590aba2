"""Start from local weights: what matched is counted, what did not is said or refused."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from medtrain.errors import ConfigError
from medtrain.models.naming import as_timm


@dataclass(frozen=True, slots=True)
class WeightsReport:
    """What a weights file gave: names taken, adapted to other input channels, left as they were."""

    path: str
    matched: int
    adapted: tuple[str, ...]
    fresh: tuple[str, ...]

    def __str__(self) -> str:
        """One line for people."""
        text = f"{self.path}: {self.matched} tensors taken"
        if self.adapted:
            text += f", adapted to the input channels: {', '.join(self.adapted)}"
        return text + (f", new: {', '.join(self.fresh)}" if self.fresh else "")


def load_weights(model: nn.Module, path: str | Path, classifier: tuple[str, ...]) -> WeightsReport:
    """Copy a safetensors file into `model`; only its classifier may differ in shape or be missing.

    classifier: prefixes of the layers that a new number of classes replaces. A first convolution
    for three channels is summed over them for one channel. Raises ConfigError naming the tensors
    that do not fit.
    """
    wanted = model.state_dict()
    stored = as_timm(_read(Path(path)), wanted)
    taken: dict[str, torch.Tensor] = {}
    adapted, fresh, wrong = [], [], []
    for name, tensor in wanted.items():
        found = stored.get(name)
        if found is None or found.shape != tensor.shape:
            if found is not None and _is_grey_of(tensor, found):
                taken[name] = found.to(tensor.dtype).sum(dim=1, keepdim=True)
                adapted.append(name)
            elif name.startswith(tuple(f"{prefix}." for prefix in classifier)):
                fresh.append(name)
            elif name.endswith("num_batches_tracked"):
                continue
            else:
                shape = "missing" if found is None else f"shape {tuple(found.shape)}"
                wrong.append(f"{name} ({shape}, expected {tuple(tensor.shape)})")
        else:
            taken[name] = found.to(tensor.dtype)
    left = [n for n in stored if n not in wanted and not n.startswith(tuple(classifier))]
    if wrong or left or not taken:
        raise ConfigError(_does_not_fit(path, wrong, left))
    model.load_state_dict(taken, strict=False)
    return WeightsReport(str(path), len(taken), tuple(adapted), tuple(fresh))


def _read(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise ConfigError(
            f"model.weights={path}: no such file; weights are read from a local safetensors file, "
            "never from the network"
        )
    try:
        return dict(load_file(path))
    except SafetensorError as error:
        raise ConfigError(f"model.weights={path}: not a safetensors file: {error}") from None


def _is_grey_of(wanted: torch.Tensor, found: torch.Tensor) -> bool:
    return (
        wanted.ndim == 4
        and wanted.shape[1] == 1
        and found.shape == (wanted.shape[0], 3, *wanted.shape[2:])
    )


def _does_not_fit(path: str | Path, wrong: list[str], left: list[str]) -> str:
    parts = []
    if wrong:
        parts.append(f"{len(wrong)} tensors do not fit, first {', '.join(wrong[:3])}")
    if left:
        parts.append(f"{len(left)} tensors have no place, first {', '.join(left[:3])}")
    detail = "; ".join(parts) or "no tensor of the model is in it"
    return f"model.weights={path}: weights of another model: {detail}"
