"""One stage of a pipeline: some consecutive pieces of a model, and what travels between stages.

Shape letters: N samples of a micro-batch, P samples of the largest micro-batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from medtrain.types import Piece

Autocast = Callable[[], AbstractContextManager[object]]


class Stage(nn.Module):
    """The pieces that this process owns, under the names that they have in the whole model.

    groups: pieces that follow one another; several where the process has parts of the model that
    do not. The other pieces of `whole` are given up: their memory is freed.
    """

    def __init__(self, whole: nn.Module, *groups: Sequence[Piece]) -> None:
        super().__init__()
        self._groups = groups
        self._whole = (whole,)  # in a tuple, so that it is no submodule
        owned = [part for pieces in groups for piece in pieces for part in piece.parts]
        _free_all_but(whole, owned)
        for part in owned:
            _attach(self, part, whole)

    def train(self, mode: bool = True) -> Stage:
        """Also the flag of the whole model, which methods used as pieces look at."""
        super().train(mode)
        self._whole[0].train(mode)
        return self

    def forward(self, x: torch.Tensor, group: int = 0) -> torch.Tensor:
        """The input of a group (N, ...) -> the input of what follows it."""
        for piece in self._groups[group]:
            x = piece.run(x)
        return x


class Padded(nn.Module):
    """A stage as the schedule sees it: every micro-batch has P rows, the last ones may be empty.

    Schedules want equal shapes. Only what is sent is padded: the stage computes the samples that
    are there, so neither losses nor batch statistics ever see the padding. Values travel in
    fp32, which loses nothing of any precision.
    """

    def __init__(self, stage: Stage, rows: int) -> None:
        super().__init__()
        self._stage = (stage,)
        self._rows = rows
        self._counts: list[int] = []
        self._at = 0
        self._autocast: Autocast = nullcontext

    def begin(self, counts: Sequence[int], autocast: Autocast) -> None:
        """Expect micro-batches of `counts` samples, one after the other."""
        self._counts = list(counts)
        self._at = 0
        self._autocast = autocast

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(P, ...) -> (P, ...)."""
        count = self._counts[self._at]
        self._at += 1
        with self._autocast():
            y: torch.Tensor = self._stage[0](x[:count])
        return pad(y.float(), self._rows)


def pad(x: torch.Tensor, rows: int) -> torch.Tensor:
    """(N, ...) -> (rows, ...), zeros at the end."""
    if x.shape[0] == rows:
        return x
    return torch.cat([x, x.new_zeros((rows - x.shape[0], *x.shape[1:]))])


def _free_all_but(whole: nn.Module, owned: Sequence[str]) -> None:
    def is_owned(name: str) -> bool:
        return any(name == part or name.startswith(f"{part}.") for part in owned)

    for prefix, module in whole.named_modules():
        for table in (module._parameters, module._buffers):
            for name, tensor in table.items():
                if tensor is not None and not is_owned(f"{prefix}.{name}".lstrip(".")):
                    empty = tensor.detach().to("meta")
                    is_parameter = isinstance(tensor, nn.Parameter)
                    table[name] = (
                        nn.Parameter(empty, tensor.requires_grad) if is_parameter else empty
                    )


def _attach(stage: nn.Module, part: str, whole: nn.Module) -> None:
    """Hang a part of the whole under the same dotted name."""
    *path, last = part.split(".")
    for name in path:
        if name not in stage._modules:
            stage.add_module(name, nn.Module())
        stage, whole = stage.get_submodule(name), whole.get_submodule(name)
    found = getattr(whole, last)
    if isinstance(found, nn.Parameter):
        stage.register_parameter(last, found)
    else:
        stage.add_module(last, found)
