"""Model and optimizer state as flat, named, plain tensors, ready for safetensors."""

from __future__ import annotations

import torch
from torch import nn

from medtrain.strategies.base import Tensors, TrainingState

_SEPARATOR = "//"  # cannot occur in a parameter's name


def collect(module: nn.Module, optimizer: torch.optim.Optimizer) -> TrainingState:
    """Copy everything to the CPU; copies, because `state_dict` shares memory with the model."""
    names: dict[torch.Tensor, str] = {p: name for name, p in module.named_parameters()}
    slots: Tensors = {}
    for parameter, values in optimizer.state.items():
        for slot, value in values.items():
            if isinstance(value, torch.Tensor):
                slots[f"{names[parameter]}{_SEPARATOR}{slot}"] = _copy(value)
    return TrainingState({k: _copy(v) for k, v in module.state_dict().items()}, slots)


def restore(
    module: nn.Module, optimizer: torch.optim.Optimizer | None, state: TrainingState
) -> None:
    """Load whole tensors; raises RuntimeError when names or shapes differ."""
    module.load_state_dict(state.model)
    if optimizer is None:
        return
    parameters = dict(module.named_parameters())
    optimizer.state.clear()
    fused = {p for group in optimizer.param_groups if group.get("fused") for p in group["params"]}
    for key, value in state.optimizer.items():
        name, _, slot = key.partition(_SEPARATOR)
        parameter = parameters[name]
        # Adam's step counter stays where the optimizer keeps it: on the CPU, unless it is fused.
        is_counter = value.ndim == 0 and parameter not in fused
        device = torch.device("cpu") if is_counter else parameter.device
        optimizer.state[parameter][slot] = value.to(device, copy=True)


def _copy(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().to("cpu", copy=True).contiguous()
