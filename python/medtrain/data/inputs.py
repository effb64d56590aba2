"""uint8 rows of a shard to what the model eats, on the training device.

Shape letters: N samples, H height, W width, C channels, D draws.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch.nn import functional

from medtrain.config import AugmentConfig
from medtrain.errors import ConfigError
from medtrain.types import Batch

DRAWS = 7
"""Random numbers of one sample: two flips, rotation, brightness, contrast, saturation, hue."""

_DEGREE = math.pi / 180
_LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601, as the grey of OpenCV and torchvision
# RGB -> YIQ (NTSC 1953): the hue is the angle in the I-Q plane.
_TO_YIQ = ((0.299, 0.587, 0.114), (0.595716, -0.274453, -0.321263), (0.211456, -0.522591, 0.311135))


class Normalise:
    """(x - mean) / std per channel, with the grey-level statistics of the train split.

    A channel that never varies has std 0; it is centred and left at that scale.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        self._mean = torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1)
        scale = [1.0 / value if value > 0 else 1.0 for value in std]
        self._scale = torch.tensor(scale, dtype=torch.float32).view(1, -1, 1, 1)

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """images: (N, C, H, W) float32 in grey levels 0..255."""
        if self._mean.device != images.device:
            self._mean = self._mean.to(images.device)
            self._scale = self._scale.to(images.device)
        return (images - self._mean) * self._scale


class Augment:
    """Flips, rotation and colour changes of a whole batch, each sample by its own draws.

    Colour is one affine map per sample, clamped to 0..255 once: brightness scales, contrast
    pulls towards the image's mean luminance, saturation towards each pixel's luminance, and hue
    turns chroma in the I-Q plane (torchvision turns it in HSV: the same angle, and the same
    colours only where saturation is full). Images with one channel skip saturation and hue.
    Rotation is bilinear about the centre, with black corners.

    `augment.class_strength` multiplies the ranges of rotation and colour for the images of a
    class (never beyond what the setting itself may be); flips are as likely for all.
    classes: names in the order of their labels. Raises ConfigError for a class not among them.
    """

    def __init__(self, config: AugmentConfig, classes: Sequence[str] = ()) -> None:
        unknown = sorted(config.class_strength.keys() - set(classes))
        if unknown:
            raise ConfigError(
                f"augment.class_strength: no class {unknown[0]!r}; classes: {', '.join(classes)}"
            )
        self._config = config
        self._strength = None
        if config.class_strength:
            factors = [config.class_strength.get(name, 1.0) for name in classes]
            self._strength = torch.tensor(factors, dtype=torch.float32)

    def __call__(
        self, images: torch.Tensor, draws: torch.Tensor, labels: torch.Tensor | None = None
    ) -> torch.Tensor:
        """images: (N, C, H, W) float32, grey levels 0..255; draws: (N, DRAWS) in [0, 1)."""
        flip_x, flip_y, turn, brightness, contrast, saturation, hue = draws.unbind(1)
        images = _flip(images, flip_x < self._config.horizontal_flip, 3)
        images = _flip(images, flip_y < self._config.vertical_flip, 2)
        images = _rotate(images, _spread(turn) * self._range("rotation", 180.0, labels) * _DEGREE)
        return _recolour(
            images,
            brightness=1 + _spread(brightness) * self._range("brightness", 1.0, labels),
            contrast=1 + _spread(contrast) * self._range("contrast", 1.0, labels),
            saturation=1 + _spread(saturation) * self._range("saturation", 1.0, labels),
            hue=_spread(hue) * self._range("hue", 0.5, labels) * (2 * math.pi),
        )

    def _range(self, name: str, most: float, labels: torch.Tensor | None) -> torch.Tensor | float:
        """How far a change may go: one number, or one for each sample."""
        value: float = getattr(self._config, name)
        if self._strength is None or labels is None:
            return value
        if self._strength.device != labels.device:
            self._strength = self._strength.to(labels.device)
        return (value * self._strength[labels]).clamp(max=most)


class Inputs:
    """The whole way from a batch to the model's input."""

    def __init__(
        self, normalise: Normalise, augment: Augment, *, channels_last: bool = False
    ) -> None:
        self._normalise = normalise
        self._augment = augment
        self._format = torch.channels_last if channels_last else torch.contiguous_format

    def __call__(self, batch: Batch) -> torch.Tensor:
        """(N, C, H, W) float32, normalised; augmented when the batch carries draws."""
        with torch.no_grad():
            images = batch.images.permute(0, 3, 1, 2).float()
            if batch.draws is not None:
                images = self._augment(images.contiguous(), batch.draws, batch.labels)
            return self._normalise(images).contiguous(memory_format=self._format)


def _spread(draw: torch.Tensor) -> torch.Tensor:
    return draw * 2 - 1


def _flip(images: torch.Tensor, chosen: torch.Tensor, axis: int) -> torch.Tensor:
    return torch.where(chosen.view(-1, 1, 1, 1), images.flip(axis), images)


def _rotate(images: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
    """Turn each image by its angle (radians); the grid is in units of half the image."""
    if images.shape[0] == 0:
        return images
    height, width = images.shape[2:]
    cos, sin, zero = torch.cos(angle), torch.sin(angle), torch.zeros_like(angle)
    rows = [cos, -sin * (height / width), zero, sin * (width / height), cos, zero]
    theta = torch.stack(rows, dim=1).view(-1, 2, 3)
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="zeros", align_corners=False)


def _recolour(
    images: torch.Tensor,
    *,
    brightness: torch.Tensor,
    contrast: torch.Tensor,
    saturation: torch.Tensor,
    hue: torch.Tensor,
) -> torch.Tensor:
    channels = images.shape[1]
    if channels != 3:
        mean = images.mean(dim=(1, 2, 3))
        scale = (brightness * contrast).view(-1, 1, 1, 1)
        shift = (brightness * mean * (1 - contrast)).view(-1, 1, 1, 1)
        return (images * scale + shift).clamp_(0, 255)
    luminance = images.new_tensor(_LUMINANCE)
    to_yiq = images.new_tensor(_TO_YIQ)
    mean = images.mean(dim=(2, 3)) @ luminance
    cos, sin = torch.cos(hue), torch.sin(hue)
    turned = torch.zeros(len(hue), 3, 3, device=images.device, dtype=images.dtype)
    turned[:, 0, 0] = 1
    turned[:, 1, 1] = turned[:, 2, 2] = saturation * cos
    turned[:, 1, 2] = -saturation * sin
    turned[:, 2, 1] = saturation * sin
    colour = torch.linalg.inv(to_yiq) @ turned @ to_yiq
    matrix = colour * (brightness * contrast).view(-1, 1, 1)
    shift = (brightness * mean * (1 - contrast)).view(-1, 1, 1)
    mixed = torch.baddbmm(shift, matrix, images.flatten(2))
    return mixed.view_as(images).clamp_(0, 255)
