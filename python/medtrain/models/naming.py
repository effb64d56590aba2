"""Weights that another implementation of the same network names differently."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import torch

# efficientnet-pytorch (and the lite conversions made with it) against timm.
_OUTSIDE = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_PLAIN_BLOCK = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}
_EXPANDING_BLOCK = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_SQUEEZE = {"_se_reduce": "se.conv_reduce", "_se_expand": "se.conv_expand"}
_BLOCK = re.compile(r"_blocks\.(\d+)\.(\w+)\.(\w+)")


def as_timm(stored: Mapping[str, torch.Tensor], wanted: Iterable[str]) -> dict[str, torch.Tensor]:
    """Rename efficientnet-pytorch's tensors to timm's; other files come back as they are.

    wanted: the model's own names, which say how its blocks are grouped into stages.
    """
    if "_conv_stem.weight" not in stored:
        return dict(stored)
    blocks = list(dict.fromkeys(re.findall(r"^blocks\.\d+\.\d+", "\n".join(wanted), re.MULTILINE)))
    return {_timm_name(name, stored, blocks): tensor for name, tensor in stored.items()}


def _timm_name(name: str, stored: Mapping[str, torch.Tensor], blocks: list[str]) -> str:
    found = _BLOCK.fullmatch(name)
    if found is None:
        layer, _, rest = name.partition(".")
        return f"{_OUTSIDE.get(layer, layer)}.{rest}"
    number, layer, rest = int(found[1]), found[2], found[3]
    expands = f"_blocks.{number}._expand_conv.weight" in stored
    layers = (_EXPANDING_BLOCK if expands else _PLAIN_BLOCK) | _SQUEEZE
    if number >= len(blocks) or layer not in layers:
        return name
    return f"{blocks[number]}.{layers[layer]}.{rest}"
