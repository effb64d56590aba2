"""torch.compile by configuration: in place, so that weights keep the names of the plain model."""

from __future__ import annotations

import torch
from torch import nn

from medtrain.config import TrainConfig
from medtrain.errors import ConfigError


def compile_in_place(
    config: TrainConfig, plain: nn.Module, prepared: nn.Module, device: torch.device
) -> None:
    """Compile what every step calls, if `train.compile` asks for it.

    prepared: what a strategy has made of `plain`: a wrapper that still calls it, or a stage of
    a pipeline, which calls some of its pieces and never the whole.
    Raises ConfigError where the backend cannot work on this machine.
    """
    if not config.compile:
        return
    if config.compile_backend == "inductor" and device.type == "cpu":
        _require_compiler()
    is_called = any(module is plain for module in prepared.modules())
    (plain if is_called else prepared).compile(backend=config.compile_backend)


def _require_compiler() -> None:
    """The backend itself would fail only inside the first step, with a page of its own state."""
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        raise ConfigError(
            "train.compile=true: torch.compile found no C++ compiler on this machine",
            hint="install g++ or name one in CXX, set train.compile=false, or see with "
            "train.compile_backend=aot_eager what compiling alone changes",
        ) from None
