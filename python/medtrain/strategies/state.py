"""Model and optimizer state as flat, named, whole tensors, ready for safetensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import nn

from medtrain.strategies.base import Tensors, TrainingState

SEPARATOR = "//"  # cannot occur in a parameter's name


def _as_it_is(tensor: torch.Tensor) -> torch.Tensor:
    return tensor


def collect(
    module: nn.Module,
    optimizer: torch.optim.Optimizer | None,
    whole: Callable[[torch.Tensor], torch.Tensor] = _as_it_is,
) -> TrainingState:
    """Copy everything to the CPU; copies, because `state_dict` shares memory with the model.

    whole: makes a whole tensor of a sharded one; a collective, called in the same order on all
    ranks.
    """
    remembered = () if optimizer is None else optimizer_slots(module, optimizer)
    slots = {name: _copy(whole(value)) for name, value in remembered}
    return TrainingState({k: _copy(whole(v)) for k, v in module.state_dict().items()}, slots)


def optimizer_slots(
    module: nn.Module, optimizer: torch.optim.Optimizer
) -> Iterator[tuple[str, torch.Tensor]]:
    """`parameter//slot` and tensor of everything the optimizer remembers."""
    for name, parameter in module.named_parameters():
        for slot, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, torch.Tensor):
                yield f"{name}{SEPARATOR}{slot}", value


def restore(
    module: nn.Module, optimizer: torch.optim.Optimizer | None, state: TrainingState
) -> None:
    """Load whole tensors into plain or sharded parameters.

    Raises RuntimeError when names or shapes differ.
    """
    own = module.state_dict()
    module.load_state_dict({key: _as(value, own.get(key)) for key, value in state.model.items()})
    if optimizer is None:
        return
    optimizer.state.clear()
    set_slots(optimizer, dict(module.named_parameters()), state.optimizer)


@torch.no_grad()
def set_slots(
    optimizer: torch.optim.Optimizer,
    parameters: Mapping[str, torch.Tensor],
    slots: Tensors,
) -> None:
    """Put `parameter//slot` tensors into the optimizer, sharded as their parameters are."""
    fused = {p for group in optimizer.param_groups if group.get("fused") for p in group["params"]}
    for key, value in slots.items():
        name, _, slot = key.partition(SEPARATOR)
        parameter = parameters[name]
        if value.ndim == 0 and parameter not in fused:
            # Adam's step counter stays where the optimizer keeps it: on the CPU, unless fused.
            optimizer.state[parameter][slot] = value.to("cpu", copy=True)
        elif value.ndim == 0:
            optimizer.state[parameter][slot] = value.to(parameter.device, copy=True)
        else:
            optimizer.state[parameter][slot] = torch.empty_like(parameter).copy_(
                _as(value, parameter)
            )


def _as(whole: torch.Tensor, like: torch.Tensor | None) -> torch.Tensor:
    """`whole` on the device of `like`, and cut like it."""
    if like is None:
        return whole
    if not hasattr(like, "device_mesh"):
        return whole.to(like.device)
    # Imported here: it takes a second that only sharded runs need.
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(like, DTensor)
    # Every rank has read the same file: nothing is sent.
    return distribute_tensor(whole, like.device_mesh, like.placements, src_data_rank=None)


def _copy(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().to("cpu", copy=True).contiguous()
