"""The layer split without a pipeline: who owns what."""

from __future__ import annotations

import pytest
import torch

from medtrain.config import ModelConfig, PipelineConfig
from medtrain.errors import ConfigError
from medtrain.models import build_model, chain_of
from medtrain.strategies.alternating import AlternatingStrategy

STUDY_CUT = "stage1.0,stage2.0,stage3.0,stage4.0"


def stage_of(rank, *, processes, name="tiny_cnn", cut="flops"):
    strategy = AlternatingStrategy(
        torch.device("cpu"),
        chain=chain_of,
        sample=(3, 32, 32),
        batch_size=4,
        options=PipelineConfig(schedule="alternating", cut=cut),
    )
    strategy.rank, strategy.world_size = rank, processes
    model, _ = build_model(ModelConfig(name=name), num_classes=2, in_channels=3)
    return strategy, strategy.prepare(model)


def test_the_second_source_study_places_its_network_like_this():
    """Stem, stages 2 and 4, and head on one device; stages 1 and 3 on the other."""
    counts = []
    for rank in (0, 1):
        _, stage = stage_of(rank, processes=2, name="medical_cnn", cut=STUDY_CUT)
        counts.append(sum(p.numel() for p in stage.parameters()))
    assert counts == [14_742_850, 7_751_424]


def test_every_layer_is_on_one_process():
    stages = [stage_of(rank, processes=3)[1] for rank in range(3)]
    names = sorted(name for stage in stages for name, _ in stage.named_parameters())
    whole, _ = build_model(ModelConfig(name="tiny_cnn"), num_classes=2, in_channels=3)
    assert names == sorted(name for name, _ in whole.named_parameters())


def test_each_process_has_two_groups_unless_the_cut_names_them():
    assert len(stage_of(0, processes=3)[0].details()["stages"]) == 6
    named, _ = stage_of(0, processes=2, cut="features.3,head.2")
    assert named.details()["stages"] == ["features.0", "features.3", "head.2"]


def test_one_process_alone_has_the_whole_model():
    strategy, _ = stage_of(0, processes=1)
    assert strategy.details()["stages"] == ["features.0"]


def test_too_few_groups_are_refused():
    with pytest.raises(ConfigError, match="2 groups of layers are too few for 3 processes"):
        stage_of(0, processes=3, cut="features.3")
