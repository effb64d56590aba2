"""How a training step is spread over processes: an explicit table, serial as null object."""

from medtrain.strategies.base import Strategy
from medtrain.strategies.ddp import DDPStrategy
from medtrain.strategies.serial import SerialStrategy

STRATEGIES = {"serial": SerialStrategy, "ddp": DDPStrategy}

__all__ = ["STRATEGIES", "DDPStrategy", "SerialStrategy", "Strategy"]
