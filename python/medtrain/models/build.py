"""Build the network that the configuration names."""

from __future__ import annotations

import difflib
from typing import Any

from torch import nn

from medtrain.config import ModelConfig
from medtrain.errors import ConfigError, ExtraMissingError
from medtrain.models.medical_cnn import MedicalCNN
from medtrain.models.norm import replace_norm
from medtrain.models.tiny_cnn import TinyCNN
from medtrain.models.weights import WeightsReport, load_weights

MODELS = {"medical_cnn": MedicalCNN, "tiny_cnn": TinyCNN}
_TIMM = "timm/"


def build_model(
    config: ModelConfig, *, num_classes: int, in_channels: int
) -> tuple[nn.Module, WeightsReport | None]:
    """The network, started from local weights if the configuration names some.

    Raises ConfigError for an unknown name (with a suggestion) or weights that do not fit.
    """
    if config.name.startswith(_TIMM):
        model, classifier = _timm_model(config, num_classes, in_channels)
    else:
        model, classifier = _own_model(config, num_classes, in_channels)
    report = None
    if config.weights is not None:
        report = load_weights(model, config.weights, classifier)
    return replace_norm(model, config.norm), report


def count_parameters(model: nn.Module) -> int:
    """Trainable parameters."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def _own_model(
    config: ModelConfig, num_classes: int, in_channels: int
) -> tuple[nn.Module, tuple[str, ...]]:
    if config.name not in MODELS:
        close = difflib.get_close_matches(config.name, list(MODELS), n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ConfigError(
            f"model.name: unknown model {config.name!r}{hint}; "
            f"models: {', '.join(MODELS)}, {_TIMM}NAME"
        )
    cls: Any = MODELS[config.name]
    dropout = {} if config.dropout is None else {"dropout": config.dropout}
    return cls(num_classes, in_channels, **dropout), (cls.classifier_name,)


def _timm_model(
    config: ModelConfig, num_classes: int, in_channels: int
) -> tuple[nn.Module, tuple[str, ...]]:
    try:
        import timm
    except ImportError:
        raise ExtraMissingError(
            f"model.name={config.name} needs timm; pip install 'medprep[train]'"
        ) from None
    name = config.name.removeprefix(_TIMM)
    if not timm.is_model(name):
        close = difflib.get_close_matches(name, timm.list_models(), n=1)
        hint = f"; did you mean '{_TIMM}{close[0]}'?" if close else ""
        raise ConfigError(f"model.name: timm has no model {name!r}{hint}")
    dropout = {} if config.dropout is None else {"drop_rate": config.dropout}
    # pretrained=False: timm would fetch from the network; weights come from model.weights only.
    model: nn.Module = timm.create_model(
        name, pretrained=False, num_classes=num_classes, in_chans=in_channels, **dropout
    )
    classifier = getattr(model, "pretrained_cfg", {}).get("classifier") or "classifier"
    prefixes = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    return model, prefixes
