"""What a fast decode costs: its error on a sample of the training images, measured by the plan.

While planning, because then SRC is at hand and nothing runs in parallel yet: parts, resumed runs
and `medprep merge`, which may be elsewhere, all find the same figures in the plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from math import log10
from pathlib import Path

import numpy as np

from medprep.errors import ImageError
from medprep.kernels import make_kernel
from medprep.pipeline import PipelineSpec
from medprep.types import ImageU8, JsonObject, PlannedSample

MAX_IMAGES = 32
_PEAK = 255.0


def measure(root: Path, samples: Iterable[PlannedSample], spec: PipelineSpec) -> JsonObject:
    """Compare the stored images of a fast and of an exact decode.

    samples: in plan order, which the seed has shuffled; the first MAX_IMAGES of split `train` (of
    the first split if there is no such) are taken. Images that cannot be decoded are left out.

    Returns `images` compared, `differing` of them, and over all their values, in grey levels
    0..255: `mean_abs_error`, `max_abs_error`, `psnr_db`; `worst_psnr_db` is the lowest of one
    image. Errors and PSNR are None without an image, and PSNR is None where nothing differs.
    """
    errors = [fast.astype(np.int16) - exact for exact, fast in _pairs(root, samples, spec)]
    squares = [float(np.mean(np.square(error, dtype=np.float64))) for error in errors]
    absolute = [np.abs(error) for error in errors]
    return {
        "images": len(errors),
        "differing": sum(square > 0 for square in squares),
        "mean_abs_error": _rounded(np.mean([a.mean() for a in absolute])) if errors else None,
        "max_abs_error": max(int(a.max()) for a in absolute) if errors else None,
        "psnr_db": _psnr(sum(squares) / len(squares)) if errors else None,
        "worst_psnr_db": _psnr(max(squares)) if errors else None,
    }


def describe(measured: JsonObject) -> str:
    """One line for people."""
    if not measured["images"]:
        return "fast decode: no image to measure its error on"
    psnr = measured["psnr_db"]
    return (
        f"fast decode: mean error {measured['mean_abs_error']:g} and at most "
        f"{measured['max_abs_error']} of 255 on {measured['images']} images"
        + ("" if psnr is None else f", PSNR {psnr:g} dB")
    )


def _pairs(
    root: Path, samples: Iterable[PlannedSample], spec: PipelineSpec
) -> Iterator[tuple[ImageU8, ImageU8]]:
    exact = make_kernel("rust", _exact(spec))
    fast = make_kernel("rust", spec)
    for sample in _chosen(list(samples)):
        try:
            data = (root / sample.path).read_bytes()
            yield exact(data, frame=sample.frame), fast(data, frame=sample.frame)
        except (ImageError, OSError):
            # It becomes a line of failures.jsonl when its shard is made.
            continue


def _chosen(samples: list[PlannedSample]) -> list[PlannedSample]:
    splits = {sample.split for sample in samples}
    split = "train" if "train" in splits or not samples else samples[0].split
    return [sample for sample in samples if sample.split == split][:MAX_IMAGES]


def _exact(spec: PipelineSpec) -> PipelineSpec:
    return PipelineSpec((replace(spec.decode, fast=False), *spec.steps[1:]), spec.dtype)


def _psnr(mean_square: float) -> float | None:
    """Peak signal-to-noise ratio in decibel."""
    return None if mean_square == 0 else _rounded(10 * log10(_PEAK**2 / mean_square))


def _rounded(value: float | np.floating) -> float:
    return round(float(value), 4)
