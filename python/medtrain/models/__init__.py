"""The table of models: a name in the configuration to a network."""

from medtrain.models.build import MODELS, build_model, count_parameters

__all__ = ["MODELS", "build_model", "count_parameters"]
