"""How a training step is spread over processes: an explicit table, serial as null object.

The builders import their strategies: torch's FSDP and pipelining cost seconds that other runs
need not pay.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from medtrain.config import Config
from medtrain.errors import ConfigError
from medtrain.precision import compute_dtype
from medtrain.strategies.base import Chain, Strategy
from medtrain.strategies.serial import SerialStrategy

__all__ = ["STRATEGIES", "SerialStrategy", "Setting", "Strategy", "build_strategy"]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What strategies are built from.

    sample: (C, H, W) of the model's input. chain: a model's pieces; raises ConfigError where
    they are not known. blocks: the same, but none where they are not known.
    """

    config: Config
    device: torch.device
    sample: tuple[int, int, int]
    chain: Chain
    blocks: Chain


def _serial(setting: Setting) -> Strategy:
    return SerialStrategy(setting.device, channels_last=setting.config.model.channels_last)


def _ddp(setting: Setting) -> Strategy:
    from medtrain.strategies.ddp import DDPStrategy

    model = setting.config.model
    return DDPStrategy(
        setting.device,
        channels_last=model.channels_last,
        sync_norm=model.sync_bn,
        options=setting.config.ddp,
    )


def _fsdp(setting: Setting) -> Strategy:
    from medtrain.strategies.fsdp import FSDPStrategy

    config = setting.config
    return FSDPStrategy(
        setting.device,
        channels_last=config.model.channels_last,
        sync_norm=config.model.sync_bn,
        compute=compute_dtype(config.train.precision, setting.device),
        options=config.fsdp,
        blocks=setting.blocks,
    )


def _pipeline(setting: Setting) -> Strategy:
    config = setting.config
    if config.model.sync_bn:
        raise ConfigError(
            "model.sync_bn: in a pipeline each layer is on one process and sees one micro-batch"
        )
    from medtrain.strategies.alternating import AlternatingStrategy
    from medtrain.strategies.pipeline import PipelineStrategy

    is_dealt_out = config.pipeline.schedule == "alternating"
    return (AlternatingStrategy if is_dealt_out else PipelineStrategy)(
        setting.device,
        chain=setting.chain,
        sample=setting.sample,
        batch_size=config.data.batch_size,
        options=config.pipeline,
        channels_last=config.model.channels_last,
    )


STRATEGIES: dict[str, Callable[[Setting], Strategy]] = {
    "serial": _serial,
    "ddp": _ddp,
    "fsdp": _fsdp,
    "pipeline": _pipeline,
}


def build_strategy(name: str, setting: Setting) -> Strategy:
    """The strategy of that name; raises ConfigError for what it cannot do."""
    return STRATEGIES[name](setting)
