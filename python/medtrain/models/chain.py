"""Models as chains of pieces: an explicit rule for each architecture.

FSDP shards piece by piece, a pipeline is cut between pieces. What a chain computes is what the
model's own `forward` computes, operation by operation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import nn

from medtrain.errors import ConfigError
from medtrain.models.medical_cnn import MedicalCNN
from medtrain.models.tiny_cnn import TinyCNN
from medtrain.types import Piece

Link = str | tuple[str, tuple[str, ...]]
"""The dotted name of a module to call, or a method's name and the names it uses."""


def chain_of(model: nn.Module) -> list[Piece]:
    """The model cut at every place where one tensor goes from one part to the next.

    Every piece has parameters: what has none (pooling, activations) goes with the piece before.
    Raises ConfigError for an architecture without a rule.
    """
    rule = _rule(model)
    if rule is None:
        known = ", ".join(["medical_cnn", "tiny_cnn", *(f"timm's {name}" for name in _TIMM)])
        raise ConfigError(
            f"model.name: no rule how to cut {type(model).__name__} into pieces; known: {known}"
        )
    pieces = _joined([_piece(model, link) for link in rule(model)], model)
    _check_whole(model, pieces)
    return pieces


def blocks_of(model: nn.Module) -> list[Piece]:
    """`chain_of`, or nothing for an architecture without a rule."""
    return [] if _rule(model) is None else chain_of(model)


def _rule(model: nn.Module) -> Callable[[nn.Module], Iterator[Link]] | None:
    if isinstance(model, MedicalCNN):
        return _medical_cnn
    if isinstance(model, TinyCNN):
        return _tiny_cnn
    is_timm = type(model).__module__.startswith("timm.")
    return _TIMM.get(type(model).__name__) if is_timm else None


def _medical_cnn(model: nn.Module) -> Iterator[Link]:
    yield "stem"
    for stage in ("stage1", "stage2", "stage3"):
        yield from _each(model, stage)
    yield "multi_dilated"
    yield from _each(model, "stage4")
    yield from _each(model, "head")


def _tiny_cnn(model: nn.Module) -> Iterator[Link]:
    yield from _each(model, "features")
    yield from _each(model, "head")


def _resnet(model: nn.Module) -> Iterator[Link]:
    yield from ("conv1", "bn1", "act1", "maxpool")
    for stage in ("layer1", "layer2", "layer3", "layer4"):
        yield from _each(model, stage)
    yield "forward_head", ("global_pool", "fc")


def _efficientnet(model: nn.Module) -> Iterator[Link]:
    yield from ("conv_stem", "bn1")
    for stage in _each(model, "blocks"):
        yield from _each(model, stage)
    yield from ("conv_head", "bn2")
    yield "forward_head", ("global_pool", "classifier")


def _mobilenet_v3(model: nn.Module) -> Iterator[Link]:
    yield from ("conv_stem", "bn1")
    for stage in _each(model, "blocks"):
        yield from _each(model, stage)
    used = ("global_pool", "conv_head", "norm_head", "act2", "flatten", "classifier")
    yield "forward_head", used


def _densenet(model: nn.Module) -> Iterator[Link]:
    yield from _each(model, "features")
    yield "forward_head", ("global_pool", "head_drop", "classifier")


def _convnext(model: nn.Module) -> Iterator[Link]:
    yield "stem"
    for stage in _each(model, "stages"):
        yield f"{stage}.downsample"
        yield from _each(model, f"{stage}.blocks")
    yield "norm_pre"
    yield "head"


def _vision_transformer(model: nn.Module) -> Iterator[Link]:
    yield "patch_embed"
    yield "_pos_embed", ("cls_token", "reg_token", "pos_embed", "pos_drop")
    yield from ("patch_drop", "norm_pre")
    yield from _each(model, "blocks")
    yield "norm"
    yield "forward_head", ("attn_pool", "fc_norm", "head_drop", "head")


_TIMM = {
    "ResNet": _resnet,
    "EfficientNet": _efficientnet,
    "MobileNetV3": _mobilenet_v3,
    "DenseNet": _densenet,
    "ConvNeXt": _convnext,
    "VisionTransformer": _vision_transformer,
}
"""Class names of timm and their rules; resnet and its kin (seresnet, resnext) are one class."""


def _each(model: nn.Module, name: str) -> list[str]:
    return [f"{name}.{child}" for child, _ in model.get_submodule(name).named_children()]


def _piece(model: nn.Module, link: Link) -> Piece:
    if isinstance(link, str):
        return Piece(link, model.get_submodule(link), (link,))
    method, used = link
    present = tuple(name for name in used if isinstance(_part(model, name), _PARTS))
    return Piece(method, getattr(model, method), present)


_PARTS = (nn.Module, nn.Parameter)


def _part(model: nn.Module, name: str) -> object:
    return getattr(model, name, None)


def _joined(pieces: list[Piece], model: nn.Module) -> list[Piece]:
    joined: list[Piece] = []
    for piece in pieces:
        if joined and not _has_parameters(model, piece):
            before = joined.pop()
            piece = Piece(before.name, _then(before, piece), before.parts + piece.parts)
        elif joined and not _has_parameters(model, joined[-1]):
            before = joined.pop()  # only the first one, such as the pooling before a head
            piece = Piece(piece.name, _then(before, piece), before.parts + piece.parts)
        joined.append(piece)
    return joined


def _then(first: Piece, second: Piece) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda x: second.run(first.run(x))


def _has_parameters(model: nn.Module, piece: Piece) -> bool:
    return bool(parameters_of(model, piece))


def parameters_of(model: nn.Module, piece: Piece) -> set[str]:
    """Dotted names of the parameters of a piece."""
    return {
        name
        for name, _ in model.named_parameters()
        if any(name == part or name.startswith(f"{part}.") for part in piece.parts)
    }


def _check_whole(model: nn.Module, pieces: list[Piece]) -> None:
    """A parameter outside of all pieces would never be trained."""
    covered = set().union(*(parameters_of(model, piece) for piece in pieces))
    missing = sorted({name for name, _ in model.named_parameters()} - covered)
    if missing:
        raise ConfigError(
            f"model.name: this {type(model).__name__} has parts outside its chain: "
            f"{', '.join(missing[:3])}; use serial, ddp or fsdp"
        )
