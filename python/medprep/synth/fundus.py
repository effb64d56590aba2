"""Plausible photographs of the back of the eye, with a cup-to-disc ratio that we choose.

Light model: a retina of one pigment colour, darkened by texture, macula and vessels (each absorbs
more green than red), lit by an uneven flash, seen through a round field stop by a noisy sensor.
The optic disc is a pink ring (the rim) around a pale centre (the cup); in glaucoma the cup grows.

Frames: pixels (row, column); field units (x right, y down, origin at the field's centre, unit =
radius of the field); eye units (see `vessels`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medprep.synth import vessels

# RGB reflectance: three pigments that patients mix, and the two parts of the disc.
_PIGMENTS = np.array([(0.82, 0.43, 0.13), (0.76, 0.27, 0.19), (0.80, 0.50, 0.40)], np.float32)
_RIM = np.array([0.93, 0.60, 0.38], np.float32)
_CUP = np.array([1.00, 0.90, 0.66], np.float32)
_HAZE = np.array([0.42, 0.50, 0.46], np.float32)
# Absorption (natural log) of a vessel as wide as a pixel or more, RGB.
_VEIN = np.array([0.44, 0.95, 0.85], np.float32)
_ARTERY = np.array([0.22, 0.70, 0.62], np.float32)
_MACULA = np.array([0.34, 0.50, 0.42], np.float32)


@dataclass(frozen=True, kw_only=True)
class Camera:
    """What the patient, the camera and the day decide; never the disease.

    pigment: (3,) weights that sum to 1. exposure: brightness factor. vignette: 0..1 loss of light
    at the rim. gradient: loss of light across the field. haze: 0..1 scattered light at the rim.
    texture: contrast of the choroid. vessel_contrast: factor. noise: standard deviation in grey
    levels. blur: standard deviation in pixels at 256.
    """

    pigment: np.ndarray
    exposure: float
    vignette: float
    gradient: float
    haze: float
    texture: float
    vessel_contrast: float
    noise: float
    blur: float
    disc_radius: float  # field radii
    field_radius: float  # fraction of half the image side
    truncated: bool  # top and bottom of the field cut, as on 35 mm cameras


@dataclass(frozen=True, kw_only=True)
class Eye:
    """One eye to photograph. cup_to_disc: ratio of the radii, 0..0.95. side: `left` or `right`."""

    side: str
    cup_to_disc: float
    camera: Camera


def photograph(eye: Eye, *, size: int, rng: np.random.Generator) -> np.ndarray:
    """Photograph one eye.

    size: side of the square image in pixels, at least 64.
    Returns (size, size, 3) uint8, RGB. The same eye, size and generator state give the same pixels.
    """
    camera = eye.camera
    field_px = camera.field_radius * size / 2
    centre = size / 2 + rng.normal(0.0, 0.006 * size, 2)
    axis = np.arange(size, dtype=np.float32)
    x = ((axis - centre[0]) / field_px).astype(np.float32)[None, :]
    y = ((axis - centre[1]) / field_px).astype(np.float32)[:, None]
    radius = np.sqrt(x * x + y * y)

    temporal = -1.0 if eye.side == "right" else 1.0
    disc_xy = (-temporal * rng.uniform(0.24, 0.42), rng.normal(0.0, 0.06))
    macula_xy = (
        disc_xy[0] + temporal * rng.uniform(0.82, 0.95),
        disc_xy[1] + rng.normal(0.07, 0.04),
    )

    light = _illumination(rng, camera, x, y, radius)
    absorbed = _vessel_absorption(rng, camera, disc_xy, macula_xy, temporal, centre, field_px, size)
    macula = np.exp(-((x - macula_xy[0]) ** 2 + (y - macula_xy[1]) ** 2) / (2 * 0.16**2))
    texture = 1.0 + camera.texture * _texture(rng, size)
    disc, cup = _disc_and_cup(rng, eye, disc_xy, temporal, x, y)

    image = np.empty((size, size, 3), np.float32)
    pigment = (camera.pigment @ _PIGMENTS).astype(np.float32)
    for c in range(3):
        retina = pigment[c] * texture
        head = _RIM[c] + (_CUP[c] - _RIM[c]) * cup
        plane = retina + (head - retina) * disc
        plane = plane * np.exp(-(absorbed[c] + _MACULA[c] * macula)) * light
        image[..., c] = plane + camera.haze * _HAZE[c] * radius**4
    image *= camera.exposure
    image *= _field_stop(camera, y, radius, field_px)[..., None]
    return _expose(rng, image, camera, size)


def _illumination(
    rng: np.random.Generator, camera: Camera, x: np.ndarray, y: np.ndarray, radius: np.ndarray
) -> np.ndarray:
    """Uneven light of the flash: (H, W), about 1 in the middle."""
    angle = rng.uniform(0.0, 2 * np.pi)
    slope = camera.gradient * (np.cos(angle) * x + np.sin(angle) * y)
    light: np.ndarray = (1.0 - camera.vignette * radius**2.4) * (1.0 + slope)
    return light.astype(np.float32)


def _vessel_absorption(
    rng: np.random.Generator,
    camera: Camera,
    disc_xy: tuple[float, float],
    macula_xy: tuple[float, float],
    temporal: float,
    centre: np.ndarray,
    field_px: float,
    size: int,
) -> np.ndarray:
    """Absorption (natural log) by vessels: (3, H, W). The macula's centre has none."""
    tree = vessels.grow(rng, points_per_unit=int(1.3 * field_px))
    x = disc_xy[0] + temporal * tree.x
    y = disc_xy[1] - tree.y
    to_macula = (x - macula_xy[0]) ** 2 + (y - macula_xy[1]) ** 2
    strength = tree.strength * (1.0 - np.exp(-to_macula / (2 * 0.13**2)))
    visible = (x * x + y * y < 1.02) & (strength > 0.08)
    absorbed = np.zeros((3, size, size), np.float32)
    for kind, colour in ((tree.vein, _VEIN), (~tree.vein, _ARTERY)):
        chosen = visible & kind
        canvas = np.zeros((size, size), np.float32)
        vessels.draw(
            canvas,
            x=x[chosen] * field_px + centre[0],
            y=y[chosen] * field_px + centre[1],
            radius=tree.radius[chosen] * field_px,
            strength=strength[chosen],
        )
        scaled = (colour * camera.vessel_contrast).astype(np.float32)
        np.maximum(absorbed, scaled[:, None, None] * canvas, out=absorbed)
    return absorbed


def _texture(rng: np.random.Generator, size: int) -> np.ndarray:
    """Mottled choroid: four octaves of smooth noise, (H, W), standard deviation about 1."""
    octaves = ((5, 0.75), (13, 0.5), (37, 0.3), (90, 0.25))
    total: np.ndarray = sum(
        (weight * smooth_noise(rng, cells, size) for cells, weight in octaves),
        start=np.zeros((size, size), np.float32),
    )
    return total


def smooth_noise(rng: np.random.Generator, cells: int, size: int) -> np.ndarray:
    """Normal noise on a coarse grid, blended smoothly up to (size, size) float32."""
    grid = rng.standard_normal((cells + 1, cells + 1), dtype=np.float32)
    at = np.linspace(0.0, cells, size, endpoint=False, dtype=np.float32)
    low = at.astype(int)
    t = at - low
    t = t * t * (3 - 2 * t)
    rows = grid[low] + (grid[low + 1] - grid[low]) * t[:, None]
    noise: np.ndarray = rows.take(low, axis=1)
    noise += np.diff(rows, axis=1).take(low, axis=1) * t
    return noise


def _disc_and_cup(
    rng: np.random.Generator,
    eye: Eye,
    disc_xy: tuple[float, float],
    temporal: float,
    x: np.ndarray,
    y: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Soft masks of the optic disc and of its cup: two (H, W) arrays, 0..1.

    Both outlines are ellipses, slightly taller than wide and slightly irregular.
    """
    height = eye.camera.disc_radius * rng.uniform(1.02, 1.08)
    width = eye.camera.disc_radius * rng.uniform(0.92, 0.98)
    dx, dy = x - disc_xy[0], y - disc_xy[1]
    around = np.arctan2(dy, dx)
    disc_rho = np.sqrt((dx / width) ** 2 + (dy / height) ** 2)
    disc_rho = disc_rho * _irregular(rng, around, 0.025)
    shift = temporal * eye.camera.disc_radius * rng.uniform(0.0, 0.06)
    cup_rho = np.sqrt(((dx - shift) / width) ** 2 + (dy / height) ** 2) / eye.cup_to_disc
    cup_rho = cup_rho * _irregular(rng, around, 0.03)
    return _soft(disc_rho, 0.045), _soft(cup_rho, 0.07)


def _irregular(rng: np.random.Generator, angle: np.ndarray, amount: float) -> np.ndarray:
    """Factor around an outline, about 1: an oval and a three-cornered deviation."""
    outline = np.ones_like(angle)
    for corners in (2, 3):
        phase = rng.uniform(0.0, 2 * np.pi)
        outline = outline + rng.normal(0.0, amount) * np.cos(corners * angle + phase)
    return outline


def _soft(rho: np.ndarray, softness: float) -> np.ndarray:
    """1 inside rho < 1, 0 outside, logistic in between."""
    mask: np.ndarray = 1.0 / (1.0 + np.exp(np.clip((rho - 1.0) / softness, -30.0, 30.0)))
    return mask


def _field_stop(camera: Camera, y: np.ndarray, radius: np.ndarray, field_px: float) -> np.ndarray:
    """Round (or cut) opening of the camera: (H, W), 1 inside, 0 outside, an edge of two pixels."""
    edge: np.ndarray = np.clip((1.0 - radius) * field_px / 2 + 0.5, 0.0, 1.0)
    if camera.truncated:
        edge = edge * np.clip((0.84 - np.abs(y)) * field_px / 2 + 0.5, 0.0, 1.0)
    return edge


def _expose(rng: np.random.Generator, image: np.ndarray, camera: Camera, size: int) -> np.ndarray:
    """Lens blur, tone curve, shot and read noise, 8 bits."""
    image = _blur(image, camera.blur * size / 256)
    grey = 255.0 * np.clip(image, 0.0, None) / (1.0 + 0.12 * np.clip(image, 0.0, None) ** 3)
    spread = camera.noise * (0.25 + np.sqrt(grey / 128.0))
    noise = rng.standard_normal(grey.shape, dtype=np.float32)
    pixels: np.ndarray = np.clip(grey + spread * noise + 0.5, 0.0, 255.0).astype(np.uint8)
    return pixels


def _blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur along both image axes, edges repeated: (H, W, 3) float32."""
    reach = max(1, int(np.ceil(2.5 * sigma)))
    offsets = np.arange(-reach, reach + 1)
    kernel = np.exp(-(offsets**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).astype(np.float32)
    for axis in (0, 1):
        pad = [(reach, reach) if a == axis else (0, 0) for a in range(3)]
        padded = np.pad(image, pad, mode="edge")
        length = image.shape[axis]
        image = np.zeros_like(image)
        for k, weight in enumerate(kernel):
            window = slice(k, k + length)
            image += weight * (padded[window] if axis == 0 else padded[:, window])
    return image
