import numpy as np
import pytest
import torch

from medtrain import seed
from medtrain.config import AugmentConfig
from medtrain.data.inputs import DRAWS, Augment, Inputs, Normalise
from medtrain.errors import ConfigError
from medtrain.types import Batch

STILL = {n: 0.0 for n in AugmentConfig.__dataclass_fields__ if n != "class_strength"}


def images(count=3, side=16, channels=3):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, channels, side, side), generator=generator).float()


def middle_draws(count=3):
    return torch.full((count, DRAWS), 0.5)


def test_normalise_uses_grey_level_statistics():
    x = torch.tensor([0.0, 100.0, 255.0]).view(1, 1, 1, 3)
    out = Normalise([100.0], [50.0])(x)
    assert out.flatten().tolist() == pytest.approx([-2.0, 0.0, 3.1])


def test_constant_channel_is_centred_not_divided_by_zero():
    assert Normalise([7.0], [0.0])(torch.full((1, 1, 2, 2), 9.0)).unique().item() == 2.0


def test_no_strength_changes_nothing():
    x = images()
    out = Augment(AugmentConfig(**STILL))(x.clone(), middle_draws())
    assert torch.allclose(out, x, atol=1e-3)


def test_certain_flips_reverse_both_axes():
    config = AugmentConfig(**STILL | {"horizontal_flip": 1.0, "vertical_flip": 1.0})
    x = images()
    out = Augment(config)(x.clone(), middle_draws())
    assert torch.allclose(out, x.flip(2, 3), atol=1e-3)


def test_a_quarter_turn_is_rot90():
    config = AugmentConfig(**STILL | {"rotation": 90.0})
    draws = middle_draws(1)
    draws[:, 2] = 1.0  # the end of the range: +90 degrees
    x = images(1)
    out = Augment(config)(x.clone(), draws)
    assert torch.allclose(out, x.rot90(1, (2, 3)), atol=0.05)


def test_brightness_scales_and_saturates():
    config = AugmentConfig(**STILL | {"brightness": 1.0})
    draws = middle_draws(1)
    draws[:, 3] = 0.75  # factor 1.5
    x = images(1)
    assert torch.allclose(Augment(config)(x.clone(), draws), (x * 1.5).clamp(max=255), atol=0.02)


def test_no_contrast_left_is_the_mean_luminance():
    config = AugmentConfig(**STILL | {"contrast": 1.0})
    draws = middle_draws(1)
    draws[:, 4] = 0.0  # factor 0
    x = images(1)
    grey = (x.mean(dim=(2, 3))[0] * torch.tensor([0.299, 0.587, 0.114])).sum()
    assert torch.allclose(Augment(config)(x.clone(), draws), grey.expand_as(x), atol=0.02)


def test_no_saturation_left_is_the_luminance():
    config = AugmentConfig(**STILL | {"saturation": 1.0})
    draws = middle_draws(1)
    draws[:, 5] = 0.0
    x = images(1)
    grey = (x * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    # NTSC's I and Q axes are rounded to six digits
    assert torch.allclose(Augment(config)(x.clone(), draws), grey.expand_as(x), atol=0.05)


def test_hue_keeps_luminance_and_a_whole_turn_changes_nothing():
    config = AugmentConfig(**STILL | {"hue": 0.5})
    x = images(1) * 0.2 + 100  # far from the clamp
    draws = middle_draws(1)
    draws[:, 6] = 0.75
    turned = Augment(config)(x.clone(), draws)
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    assert torch.allclose((turned * weights).sum(1), (x * weights).sum(1), atol=0.05)
    assert (turned - x).abs().max() > 1


def test_grey_images_take_brightness_and_contrast():
    out = Augment(AugmentConfig())(images(2, channels=1), torch.full((2, DRAWS), 0.9))
    assert out.shape == (2, 1, 16, 16)
    assert torch.isfinite(out).all()


def test_augmented_pixels_of_a_sample_do_not_depend_on_its_batch():
    pixels = torch.randint(0, 256, (6, 16, 16, 3), dtype=torch.uint8)
    rows = np.array([3, 1, 4, 15, 9, 2])
    draws = torch.from_numpy(seed.uniforms(1, 0, rows, DRAWS))
    inputs = Inputs(Normalise([100.0] * 3, [50.0] * 3), Augment(AugmentConfig()))
    index = torch.from_numpy(rows)
    together = inputs(Batch(pixels, index, index, draws))
    alone = inputs(Batch(pixels[4:5], index[4:5], index[4:5], draws[4:5]))
    # sums of one image may be grouped differently: a few units in the last place
    assert torch.allclose(together[4], alone[0], atol=1e-5)


def test_evaluation_batches_are_not_augmented():
    pixels = torch.full((2, 4, 4, 1), 100, dtype=torch.uint8)
    zeros = torch.zeros(2, dtype=torch.int64)
    inputs = Inputs(Normalise([100.0], [50.0]), Augment(AugmentConfig()))
    assert inputs(Batch(pixels, zeros, zeros)).abs().max() == 0


def test_class_strength_widens_the_changes_of_that_class_only():
    config = AugmentConfig(**STILL | {"brightness": 0.2, "class_strength": {"rare": 2.0}})
    draws = middle_draws(3)
    draws[:, 3] = 1.0  # the end of the range
    x = images(3) * 0.5
    out = Augment(config, ["common", "rare"])(x.clone(), draws, torch.tensor([0, 1, 0]))
    factors = torch.tensor([1.2, 1.4, 1.2]).view(-1, 1, 1, 1)
    assert torch.allclose(out, (x * factors).clamp(max=255), atol=0.02)


def test_class_strength_never_exceeds_what_the_setting_may_be():
    config = AugmentConfig(**STILL | {"brightness": 0.8, "class_strength": {"rare": 5.0}})
    draws = middle_draws(1)
    draws[:, 3] = 0.0  # the dark end
    out = Augment(config, ["rare"])(images(1), draws, torch.tensor([0]))
    assert out.abs().max() == 0  # factor 1 - 1, not 1 - 4


def test_strength_of_an_unknown_class_is_refused():
    config = AugmentConfig(class_strength={"glaucma": 2.0})
    with pytest.raises(ConfigError, match="no class 'glaucma'; classes: glaucoma, normal"):
        Augment(config, ["glaucoma", "normal"])
