import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from medtrain.config import ModelConfig
from medtrain.errors import ConfigError
from medtrain.models import build_model, count_parameters

# source-systems.md, section 3
PARTS = {
    "stem": 9_536,
    "stage1": 223_488,
    "stage2": 1_124_608,
    "stage3": 6_871_552,
    "multi_dilated": 656_384,
    "stage4": 13_212_672,
    "head": 396_034,
}


def build(classes=2, channels=3, **values):
    return build_model(ModelConfig(**values), num_classes=classes, in_channels=channels)[0]


def test_medical_cnn_has_the_published_parameters_part_by_part():
    model = build(name="medical_cnn")
    found = {name: count_parameters(part) for name, part in model.named_children()}
    assert found == PARTS
    assert count_parameters(model) == 22_494_274
    assert sum(buffer.numel() for buffer in model.buffers()) == 19_627


def test_medical_cnn_layers_are_the_true_counts():
    leaves = [m for m in build().modules() if not list(m.children())]
    assert sum(isinstance(m, nn.Conv2d) for m in leaves) == 41
    assert sum(isinstance(m, nn.Linear) for m in leaves) == 35
    assert not any(m.inplace for m in leaves if isinstance(m, nn.ReLU))


def test_another_number_of_classes_changes_only_the_last_layer():
    assert count_parameters(build(classes=35)) == 22_494_274 + 33 * 257


def test_medical_cnn_shapes_and_initial_values():
    torch.manual_seed(0)
    model = build().eval()
    stages = [model.stem, model.stage1, model.stage2, model.stage3, model.multi_dilated]
    x = torch.randn(1, 3, 224, 224)
    shapes = []
    with torch.no_grad():
        for stage in [*stages, model.stage4]:
            x = stage(x)
            shapes.append(tuple(x.shape[1:]))
        assert model.head(x).shape == (1, 2)
    assert shapes == [
        (64, 56, 56),
        (64, 56, 56),
        (128, 28, 28),
        (256, 14, 14),
        (256, 14, 14),
        (512, 7, 7),
    ]
    last = model.head[-1]
    assert last.bias.abs().max() == 0
    assert last.weight.std().item() == pytest.approx(0.01, rel=0.2)
    assert model.head[5].p == 0.3


def test_dropout_is_set_everywhere():
    assert {m.p for m in build(dropout=0.0).modules() if isinstance(m, nn.Dropout)} == {0.0}


@pytest.mark.parametrize("name", ["tiny_cnn", "medical_cnn", "timm/resnet10t"])
@pytest.mark.parametrize("norm", ["group", "frozen"])
def test_norm_that_ignores_the_batch_gives_each_sample_its_own_output(name, norm):
    torch.manual_seed(0)
    model = build(name=name, norm=norm, dropout=0.0).train()
    x = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        together, alone = model(x)[:1], model(x[:1])
    assert torch.allclose(together, alone, atol=1e-4, rtol=1e-4)
    assert not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules())


def test_frozen_norm_keeps_parameters_and_statistics():
    model = build(name="tiny_cnn", norm="frozen").train()
    before = {name: value.clone() for name, value in model.named_buffers()}
    model(torch.randn(4, 3, 32, 32)).sum().backward()
    assert all(torch.equal(before[name], value) for name, value in model.named_buffers())
    assert model.features[1].weight.grad is not None
    assert count_parameters(model) == count_parameters(build(name="tiny_cnn"))


def test_unknown_models_are_refused_with_a_suggestion():
    with pytest.raises(ConfigError, match="unknown model 'medicalcnn'; did you mean 'medical_cnn'"):
        build(name="medicalcnn")
    with pytest.raises(ConfigError, match="timm has no model 'resnet10'; did you mean 'timm/resn"):
        build(name="timm/resnet10")


def test_local_weights_are_taken_but_for_the_classifier(tmp_path):
    torch.manual_seed(1)
    source = build(name="timm/resnet10t", classes=7)
    path = tmp_path / "w.safetensors"
    save_file({k: v.clone() for k, v in source.state_dict().items()}, path)
    config = ModelConfig(name="timm/resnet10t", weights=str(path))
    model, report = build_model(config, num_classes=3, in_channels=3)
    assert torch.equal(model.layer4[0].conv1.weight, source.layer4[0].conv1.weight)
    assert report.fresh == ("fc.weight", "fc.bias")
    assert report.matched == len(source.state_dict()) - 2


def test_colour_weights_are_summed_for_grey_images(tmp_path):
    source = build(name="timm/resnet10t")
    path = tmp_path / "w.safetensors"
    save_file({k: v.clone() for k, v in source.state_dict().items()}, path)
    config = ModelConfig(name="timm/resnet10t", weights=str(path))
    model, report = build_model(config, num_classes=2, in_channels=1)
    assert report.adapted == ("conv1.0.weight",)
    assert torch.allclose(model.conv1[0].weight, source.conv1[0].weight.sum(1, keepdim=True))


def test_weights_of_another_model_are_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    save_file({"features.0.weight": torch.zeros(2)}, path)
    with pytest.raises(ConfigError, match="weights of another model: 10 tensors do not fit"):
        build(name="tiny_cnn", weights=str(path))
    with pytest.raises(ConfigError, match="never from the network"):
        build(name="tiny_cnn", weights=str(tmp_path / "none.safetensors"))


@pytest.mark.real_data
def test_every_tensor_of_the_imagenet_lite0_file_finds_its_place(real_data):
    path = real_data / "weights" / "efficientnet-lite0-imagenet-fp16.safetensors"
    config = ModelConfig(name="timm/tf_efficientnet_lite0", weights=str(path))
    model, report = build_model(config, num_classes=2, in_channels=3)
    assert report.fresh == ("classifier.weight", "classifier.bias")
    assert report.matched == len(model.state_dict()) - 2
    assert model.conv_stem.weight.dtype == torch.float32
