"""Branching retinal vessels: where they run, and how they are drawn.

Geometry is in the frame of the eye: origin at the optic disc, x towards the macula (temporal),
y up, unit = radius of the photographed field. Every generation of branches is one set of arrays:
P paths of S points, so that an eye costs a few dozen NumPy calls and not thousands.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

# Four trunks as cubic Bezier curves: the two temporal arcades run around the macula, the two
# nasal ones leave almost straight. Signs of y are applied per trunk.
_TEMPORAL = np.array([(0.0, 0.02), (-0.06, 0.42), (0.42, 0.80), (1.55, 0.50)])
_NASAL = np.array([(0.0, 0.02), (-0.10, 0.26), (-0.36, 0.42), (-0.85, 0.85)])
_CONTROL_JITTER = np.array([0.008, 0.05, 0.09, 0.14])[None, :, None]

# A retinal vein is about a twelfth of the disc wide at the disc, an artery two thirds of that.
VEIN_RADIUS = 0.0165
ARTERY_RADIUS = 0.0115
_BRANCHES = (6, 3)  # children of a trunk, children of a child
_THINNEST = 0.0022


@dataclass(frozen=True, kw_only=True)
class Vessels:
    """Points of all vessels of one eye, in no particular order.

    x, y, radius: (N,) in field radii. vein: (N,) bool. strength: (N,) 0..1, how dark.
    """

    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    vein: np.ndarray
    strength: np.ndarray


@dataclass(frozen=True, kw_only=True)
class _Paths:
    """P vessels of S points each: (P, S) arrays, except vein and strength (P,)."""

    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    vein: np.ndarray
    strength: np.ndarray

    @classmethod
    def tapered(
        cls, x: np.ndarray, y: np.ndarray, root: np.ndarray, vein: np.ndarray, strength: np.ndarray
    ) -> Self:
        """Paths whose radius falls to about a third of its value at the root."""
        taper = 1.0 - 0.66 * np.linspace(0.0, 1.0, x.shape[1])
        radius = np.maximum(root[:, None] * taper, _THINNEST)
        return cls(x=x, y=y, radius=radius, vein=vein, strength=strength)


def grow(rng: np.random.Generator, *, points_per_unit: int) -> Vessels:
    """Grow the vessel tree of one eye.

    points_per_unit: points along one field radius; 1.3 points per pixel leave no gaps.
    """
    generations = [_trunks(rng, steps=int(2.2 * points_per_unit))]
    for children, reach in zip(_BRANCHES, (0.8, 0.5), strict=True):
        generations.append(
            _branches(
                rng,
                generations[-1],
                children,
                steps=max(8, int(reach * points_per_unit)),
                step=1 / points_per_unit,
            )
        )
    return Vessels(
        x=_joined([paths.x for paths in generations]),
        y=_joined([paths.y for paths in generations]),
        radius=_joined([paths.radius for paths in generations]),
        vein=_joined([np.broadcast_to(p.vein[:, None], p.x.shape) for p in generations]),
        strength=_joined([np.broadcast_to(p.strength[:, None], p.x.shape) for p in generations]),
    )


def _joined(arrays: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([array.ravel() for array in arrays])


def _trunks(rng: np.random.Generator, *, steps: int) -> _Paths:
    """An artery and a vein in each quadrant."""
    up = np.array([1.0, 1.0])
    down = np.array([1.0, -1.0])
    controls = np.stack([_TEMPORAL * up, _TEMPORAL * down, _NASAL * up, _NASAL * down] * 2)
    controls = controls + rng.normal(0.0, 1.0, controls.shape) * _CONTROL_JITTER
    s = np.linspace(0.0, 1.0, steps)[:, None]
    weights = np.stack([(1 - s) ** 3, 3 * s * (1 - s) ** 2, 3 * s**2 * (1 - s), s**3])
    points = sum(weights[None, k] * controls[:, k, None, :] for k in range(4))
    points = np.asarray(points)
    wobble = _wobble(rng, len(points), steps, amplitude=0.012)
    vein = np.arange(len(points)) >= 4
    root = np.where(vein, VEIN_RADIUS, ARTERY_RADIUS) * rng.uniform(0.85, 1.15, len(points))
    return _Paths.tapered(
        points[..., 0] + wobble, points[..., 1] + wobble[:, ::-1], root, vein, np.ones(len(points))
    )


def _branches(
    rng: np.random.Generator, parents: _Paths, children: int, *, steps: int, step: float
) -> _Paths:
    """Children that leave their parents at 25 to 65 degrees and bend back towards them.

    steps: points of a child. step: the longest distance from point to point, in field radii.
    """
    count, length = parents.x.shape
    parent = np.repeat(np.arange(count), children)
    slots = (np.arange(children) + rng.uniform(0.1, 0.9, (count, children))) / children
    at = (np.clip(0.10 + 0.85 * slots.ravel(), 0.0, 0.98) * (length - 2)).astype(int)
    along_x = parents.x[parent, at + 1] - parents.x[parent, at]
    along_y = parents.y[parent, at + 1] - parents.y[parent, at]
    side = np.where((np.arange(children)[None, :] + rng.integers(0, 2, (count, 1))) % 2, 1.0, -1.0)
    side = side.ravel()
    heading = np.arctan2(along_y, along_x) + side * np.radians(rng.uniform(25, 65, len(parent)))
    s = np.linspace(0.0, 1.0, steps)[None, :]
    bend = -side * rng.uniform(0.1, 0.9, len(parent))
    angle = heading[:, None] + bend[:, None] * s + _wobble(rng, len(parent), steps, amplitude=0.22)
    paces = step * rng.uniform(0.5, 1.0, (len(parent), 1))
    x = parents.x[parent, at][:, None] + np.cumsum(np.cos(angle) * paces, axis=1)
    y = parents.y[parent, at][:, None] + np.cumsum(np.sin(angle) * paces, axis=1)
    root = parents.radius[parent, at] * rng.uniform(0.55, 0.8, len(parent))
    strength = parents.strength[parent] * rng.uniform(0.7, 0.95, len(parent))
    return _Paths.tapered(x, y, root, parents.vein[parent], strength)


def _wobble(rng: np.random.Generator, count: int, steps: int, *, amplitude: float) -> np.ndarray:
    """Smooth sideways deviations that start at zero: (count, steps)."""
    s = np.linspace(0.0, 1.0, steps)[None, None, :]
    waves = np.array([1.5, 3.1, 6.3])[None, :, None]
    phase = rng.uniform(0.0, 2 * np.pi, (count, 3, 1))
    size = rng.normal(0.0, amplitude, (count, 3, 1)) / np.sqrt(waves)
    curve: np.ndarray = (size * (np.sin(2 * np.pi * waves * s + phase) - np.sin(phase))).sum(axis=1)
    return curve


def draw(
    canvas: np.ndarray,
    *,
    x: np.ndarray,
    y: np.ndarray,
    radius: np.ndarray,
    strength: np.ndarray,
) -> None:
    """Draw soft round dots on the canvas, keeping the darkest value at each pixel.

    canvas: (H, W) float32, changed in place. x, y, radius: (N,) in pixels. strength: (N,) 0..1.
    """
    height, width = canvas.shape
    reach = np.ceil(radius + 0.5).astype(int)
    flat = canvas.reshape(-1)
    for cells in np.unique(reach):  # one patch size at a time: thin vessels stay cheap
        chosen = reach == cells
        col, row = np.rint(x[chosen]).astype(int), np.rint(y[chosen]).astype(int)
        inside = (col >= cells) & (col < width - cells) & (row >= cells) & (row < height - cells)
        col, row = col[inside], row[inside]
        offset = np.arange(-cells, cells + 1)
        dx = (col - x[chosen][inside])[:, None] + offset
        dy = (row - y[chosen][inside])[:, None] + offset
        distance = np.sqrt(dx[:, None, :] ** 2 + dy[:, :, None] ** 2)
        cover = np.clip(radius[chosen][inside][:, None, None] + 0.5 - distance, 0.0, 1.0)
        cover = (cover * strength[chosen][inside][:, None, None]).astype(np.float32)
        index = (row * width + col)[:, None, None] + offset[:, None] * width + offset
        np.maximum.at(flat, index.ravel(), cover.ravel())
