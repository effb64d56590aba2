"""The table of models: a name in the configuration to a network."""

from medtrain.models.build import MODELS, build_model, count_parameters
from medtrain.models.chain import blocks_of, chain_of

__all__ = ["MODELS", "blocks_of", "build_model", "chain_of", "count_parameters"]
