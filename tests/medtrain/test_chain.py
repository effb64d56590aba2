"""A chain of pieces computes what the model computes, and a stage owns what it says."""

from __future__ import annotations

import pytest
import torch

from medtrain.config import ModelConfig
from medtrain.errors import ConfigError
from medtrain.models import blocks_of, build_model, chain_of
from medtrain.strategies.partition import balanced, cut_into_stages
from medtrain.strategies.stage import Padded, Stage

NAMES = (
    "medical_cnn",
    "tiny_cnn",
    "timm/resnet10t",
    "timm/efficientnet_b0",
    "timm/mobilenetv3_small_050",
    "timm/densenet121",
    "timm/convnext_atto",
    "timm/vit_tiny_patch16_224",
)


def built(name, norm="batch"):
    torch.manual_seed(0)
    model, _ = build_model(ModelConfig(name=name, norm=norm), num_classes=3, in_channels=3)
    return model.eval()


def side(name):
    return 224 if "vit" in name else 32


@pytest.mark.parametrize("name", NAMES)
def test_chain_computes_the_same_bits_as_the_model(name):
    model = built(name)
    images = torch.randn(2, 3, side(name), side(name))
    with torch.no_grad():
        x = images
        for piece in chain_of(model):
            x = piece.run(x)
        assert torch.equal(x, model(images))


@pytest.mark.parametrize("name", ["timm/resnet10t", "medical_cnn"])
def test_chain_knows_models_with_replaced_normalisation(name):
    assert len(chain_of(built(name, "group"))) == len(chain_of(built(name)))


def test_architecture_without_a_rule_is_refused_with_those_that_have_one():
    model = built("timm/regnetx_002")
    with pytest.raises(ConfigError, match=r"how to cut RegNet into pieces; known: medical_cnn"):
        chain_of(model)
    assert blocks_of(model) == []


def test_stages_own_every_parameter_once_under_its_name_and_compute_the_whole():
    whole = built("timm/vit_tiny_patch16_224")
    names = [name for name, _ in whole.named_parameters()]
    images = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        expected = whole(images)
    owned, x = [], images
    cuts = [range(0, 5), range(5, 12), range(12, len(chain_of(whole)))]
    for cut in cuts:
        model = built("timm/vit_tiny_patch16_224")
        stage = Stage(model, [chain_of(model)[at] for at in cut]).eval()
        owned += [name for name, _ in stage.named_parameters()]
        foreign = set(names) - {name for name, _ in stage.named_parameters()}
        assert all(model.get_parameter(name).is_meta for name in foreign)
        with torch.no_grad():
            x = stage(x)
    assert sorted(owned) == sorted(names)
    assert torch.equal(x, expected)


def test_train_mode_reaches_methods_of_the_whole_model():
    model = built("timm/resnet10t")
    stage = Stage(model, chain_of(model)[-1:])
    stage.train()
    assert model.training
    stage.eval()
    assert not model.training


def test_padding_is_sent_and_never_computed():
    model = built("tiny_cnn").train()
    stage = Stage(model, chain_of(model)[:2])
    padded = Padded(stage, rows=5)
    padded.begin([3], torch.no_grad)
    images = torch.randn(5, 3, 8, 8)
    out = padded(images)
    norm = stage.get_submodule("features.1")
    expected = stage.get_submodule("features.0")(images[:3]).mean((0, 2, 3)) * norm.momentum
    assert out.shape[0] == 5 and not out[3:].any()
    assert torch.allclose(norm.running_mean, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("costs", "stages", "expected"),
    [
        ([1, 1, 1, 1], 2, [2, 2]),
        ([8, 1, 1, 1], 2, [1, 3]),
        ([1, 1, 1, 8], 3, [2, 1, 1]),
        ([5, 1, 5, 1, 5], 3, [2, 2, 1]),
    ],
)
def test_cut_makes_the_most_expensive_stage_cheapest(costs, stages, expected):
    cuts = balanced(costs, stages)
    assert max(sum(costs[at] for at in cut) for cut in cuts) == max(
        sum(costs[sum(expected[:i]) : sum(expected[: i + 1])]) for i in range(stages)
    )
    assert [at for cut in cuts for at in cut] == list(range(len(costs)))
    assert all(len(cut) for cut in cuts)


def test_flops_cut_of_medical_cnn_is_balanced_and_always_the_same():
    pieces = chain_of(built("medical_cnn"))
    one, shapes = cut_into_stages(pieces, stages=2, how="flops", sample=(3, 64, 64))
    assert one == cut_into_stages(pieces, stages=2, how="flops", sample=(3, 64, 64))[0]
    assert pieces[one[1].start].name.startswith("stage3")
    assert shapes[0] == (3, 64, 64) and shapes[-1] == (3,)


def test_measured_cut_gives_every_stage_consecutive_pieces():
    pieces = chain_of(built("tiny_cnn"))
    stages, _ = cut_into_stages(pieces, stages=3, how="time", sample=(3, 32, 32))
    assert [at for stage in stages for at in stage] == list(range(len(pieces)))
    assert all(len(stage) for stage in stages)


def test_named_cuts_are_taken_and_wrong_ones_refused_with_the_names():
    pieces = chain_of(built("tiny_cnn"))
    cuts, _ = cut_into_stages(pieces, stages=2, how="features.3", sample=(3, 8, 8))
    assert [cut.start for cut in cuts] == [0, 2]
    with pytest.raises(ConfigError, match=r"no piece 'head'; flops, time, or some of: features.0"):
        cut_into_stages(pieces, stages=2, how="head", sample=(3, 8, 8))
    with pytest.raises(ConfigError, match="3 processes need 2 different first pieces"):
        cut_into_stages(pieces, stages=3, how="features.3", sample=(3, 8, 8))
    with pytest.raises(ConfigError, match="7 pieces, too few for a pipeline of 8 processes"):
        cut_into_stages(pieces, stages=8, how="flops", sample=(3, 8, 8))
