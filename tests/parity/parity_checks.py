"""One comparison with OpenCV per step: how many values were compared, how many differ.

`medprep` pixels are defined as OpenCV's on x86-64, so every count of differing values must be 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from format_samples import FORMATS, random_tiff
from parity_samples import (
    ENCODERS,
    Rng,
    encoded_files,
    png_file,
    random_image,
    random_size,
)

from medprep import _core
from medprep.errors import MedprepError

CLIP_LIMITS = (0.0, -1.0, 0.01, 0.5, 1.0, 2.0, 2.5, 4.0, 40.0, 1000.0)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One image through one step on both sides."""

    what: str
    values: int
    differing: int


def compare(what: str, ours: np.ndarray, theirs: np.ndarray) -> Comparison:
    """Count differing values; another shape counts as everything differing."""
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        what = f"{what}: {ours.shape} {ours.dtype}, OpenCV {theirs.shape} {theirs.dtype}"
        return Comparison(what=what, values=theirs.size, differing=theirs.size)
    return Comparison(what=what, values=theirs.size, differing=int((ours != theirs).sum()))


def opencv_decode(data: bytes, channels: str, reduction: int = 1) -> np.ndarray | None:
    """cv2.imdecode with RGB order, or None when OpenCV refuses."""
    name = "COLOR" if channels == "rgb" else "GRAYSCALE"
    flag = f"IMREAD_{name}" if reduction == 1 else f"IMREAD_REDUCED_{name}_{reduction}"
    flag = getattr(cv2, flag)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flag) if data else None
    except cv2.error:
        return None
    return image if image is None or image.ndim == 2 else np.ascontiguousarray(image[..., ::-1])


def our_decode(data: bytes, channels: str, *, keep_damaged: bool = False) -> np.ndarray | None:
    """medprep's pixels, or None when it refuses."""
    try:
        return _core.decode(data, channels, keep_damaged)
    except MedprepError:
        return None


def check_decode(rng: Rng, kind: str) -> Iterator[Comparison]:
    """A random file of one kind, read as RGB and as grey; both sides must take or refuse it."""
    if kind in FORMATS:
        name, data = FORMATS[kind](rng)
    else:
        ((name, data),) = encoded_files(rng, kind, 1)
    for channels in ("rgb", "grey"):
        theirs, ours = opencv_decode(data, channels), our_decode(data, channels)
        if theirs is None or ours is None:
            taken = (theirs is not None, ours is not None)
            what = f"{name} {channels}: taken by (OpenCV, medprep) = {taken}"
            yield Comparison(what=what, values=1, differing=int(taken[0] != taken[1]))
        else:
            yield compare(f"{name} {channels}", ours, theirs)


def check_reduced(rng: Rng) -> Iterator[Comparison]:
    """A random healthy JPEG at 1/2, 1/4 and 1/8, read as RGB and as grey."""
    ((name, data),) = encoded_files(rng, "JPEG", 1)
    for channels in ("rgb", "grey"):
        for reduction in (2, 4, 8):
            theirs = opencv_decode(data, channels, reduction)
            if theirs is not None:
                ours = _core.decode(data, channels, reduction=reduction)
                yield compare(f"{name} {channels} 1/{reduction}", ours, theirs)


def check_decode_wide(rng: Rng) -> Iterator[Comparison]:
    """16-bit PNG and TIFF with all their bits."""
    if rng.integers(0, 2):
        name, data = random_tiff(rng, wide=True)
    else:
        color = int(rng.choice([0, 2, 4, 6]))
        height, width = random_size(rng, 60)
        samples = {0: 1, 2: 3, 4: 2, 6: 4}[color]
        values = rng.integers(0, 65536, (height, width, samples))
        name, data = f"PNG colour {color}", png_file(rng, values, color=color, depth=16)
    for channels, flag in (("rgb", cv2.IMREAD_COLOR), ("grey", cv2.IMREAD_GRAYSCALE)):
        theirs = cv2.imdecode(np.frombuffer(data, np.uint8), flag | cv2.IMREAD_ANYDEPTH)
        theirs = theirs if theirs.ndim == 2 else np.ascontiguousarray(theirs[..., ::-1])
        yield compare(f"{name} {channels}", _core.decode_wide(data, channels), theirs)


def check_wide(rng: Rng) -> Iterator[Comparison]:
    """Area resize, median and gamma of 16-bit values."""
    image = random_image(rng, *random_size(rng), int(rng.choice([1, 3])), top=65536)
    h, w = image.shape[:2]
    height, width = random_size(rng)
    if rng.integers(0, 2):
        ratio_y, ratio_x = (2, 2) if rng.integers(0, 3) == 0 else rng.integers(1, 30, 2)
        height, width = max(1, h // int(ratio_y)), max(1, w // int(ratio_x))
        image = np.ascontiguousarray(image[: height * int(ratio_y), : width * int(ratio_x)])
    theirs = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    what = f"area 16-bit {image.shape} -> {height} x {width}"
    yield compare(what, _core.resize(image, height, width, "area"), theirs)
    yield compare("median 16-bit", _core.median(image, 3), cv2.medianBlur(image, 3))
    gamma = float(rng.uniform(0.05, 5))
    table = np.rint(65535 * (np.arange(65536) / 65535) ** (1 / gamma)).astype(np.uint16)
    yield compare(f"gamma 16-bit {gamma}", _core.gamma(image, gamma), table[image])


def check_resize(rng: Rng) -> Iterator[Comparison]:
    """Any ratio; whole ratios (and 2 x 2) more often than by chance."""
    channels = int(rng.choice([1, 3]))
    (h, w), (height, width) = random_size(rng), random_size(rng)
    if rng.integers(0, 3) == 0:
        ratio_y, ratio_x = (2, 2) if rng.integers(0, 3) == 0 else rng.integers(1, 8, 2)
        height, width = max(1, h // int(ratio_y)), max(1, w // int(ratio_x))
        h, w = height * int(ratio_y), width * int(ratio_x)
    image = random_image(rng, h, w, channels)
    for name, flag in (("area", cv2.INTER_AREA), ("linear", cv2.INTER_LINEAR)):
        theirs = cv2.resize(image, (width, height), interpolation=flag)
        ours = _core.resize(image, height, width, name)
        yield compare(f"{name} {image.shape} -> {height} x {width}", ours, theirs)


def opencv_fit(image: np.ndarray, height: int, width: int, mode: str, flag: int) -> np.ndarray:
    """The contract of `fit` written with cv2.resize, slices and a padded array."""
    h, w = image.shape[:2]
    if mode == "stretch":
        return cv2.resize(image, (width, height), interpolation=flag)
    if mode == "crop":
        s = max(height / h, width / w)
        rh, rw = max(height, int(np.floor(h * s + 0.5))), max(width, int(np.floor(w * s + 0.5)))
        y, x = (rh - height) // 2, (rw - width) // 2
        resized = cv2.resize(image, (rw, rh), interpolation=flag)
        return np.ascontiguousarray(resized[y : y + height, x : x + width])
    s = min(height / h, width / w)
    rh = min(height, max(1, int(np.floor(h * s + 0.5))))
    rw = min(width, max(1, int(np.floor(w * s + 0.5))))
    y, x = (height - rh) // 2, (width - rw) // 2
    out = np.zeros((height, width, *image.shape[2:]), np.uint8)
    out[y : y + rh, x : x + rw] = cv2.resize(image, (rw, rh), interpolation=flag)
    return out


def check_fit(rng: Rng) -> Iterator[Comparison]:
    """Stretch, crop and letterbox to a random target."""
    (h, w), (height, width) = random_size(rng, 60), random_size(rng, 40)
    image = random_image(rng, h, w, int(rng.choice([1, 3])))
    for mode in ("stretch", "crop", "letterbox"):
        for name, flag in (("area", cv2.INTER_AREA), ("linear", cv2.INTER_LINEAR)):
            theirs = opencv_fit(image, height, width, mode, flag)
            ours = _core.fit(image, height, width, mode, name)
            yield compare(f"{mode} {name} {image.shape} -> {height} x {width}", ours, theirs)


def check_clahe(rng: Rng) -> Iterator[Comparison]:
    """8-bit grey, 16-bit grey (8, 12 or 16 bits used) and L of RGB."""
    h, w = random_size(rng)
    clip, tiles = float(rng.choice(CLIP_LIMITS)), int(rng.integers(1, 17))
    grey, rgb = random_image(rng, h, w, 1), random_image(rng, h, w, 3)
    opencv = cv2.createCLAHE(clip, (tiles, tiles))
    what = f"{h} x {w} clip {clip} tiles {tiles}"
    yield compare(f"CLAHE {what}", _core.clahe(grey, clip, tiles), opencv.apply(grey))
    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2Lab)
    lab[..., 0] = opencv.apply(np.ascontiguousarray(lab[..., 0]))
    theirs = cv2.cvtColor(lab, cv2.COLOR_Lab2RGB)
    yield compare(f"CLAHE of RGB {what}", _core.clahe(rgb, clip, tiles), theirs)


def check_clahe16(rng: Rng) -> Iterator[Comparison]:
    """16-bit grey of which 9, 12 or 16 bits are used."""
    h, w = random_size(rng)
    clip, tiles = float(rng.choice(CLIP_LIMITS)), int(rng.integers(1, 9))
    image = random_image(rng, h, w, 1, top=int(rng.choice([512, 4096, 65536])))
    theirs = cv2.createCLAHE(clip, (tiles, tiles)).apply(image)
    what = f"CLAHE 16-bit {h} x {w} clip {clip} tiles {tiles}"
    yield compare(what, _core.clahe(image, clip, tiles), theirs)


def check_median(rng: Rng) -> Iterator[Comparison]:
    """Median 3 x 3 of grey and RGB."""
    image = random_image(rng, *random_size(rng), int(rng.choice([1, 3])))
    yield compare(f"median {image.shape}", _core.median(image, 3), cv2.medianBlur(image, 3))


def check_gamma(rng: Rng) -> Iterator[Comparison]:
    """The gamma table against numpy and cv2.LUT."""
    image = random_image(rng, *random_size(rng), int(rng.choice([1, 3])))
    gamma = float(rng.uniform(0.05, 5))
    table = np.rint(255 * (np.arange(256) / 255) ** (1 / gamma)).astype(np.uint8)
    yield compare(f"gamma {gamma}", _core.gamma(image, gamma), cv2.LUT(image, table))


def check_all_colours(rng: Rng) -> Iterator[Comparison]:
    """RGB -> Lab and Lab -> RGB of all 2^24 inputs."""
    codes = np.arange(1 << 24, dtype=np.uint32)
    colours = np.stack([codes & 255, (codes >> 8) & 255, codes >> 16], -1)
    colours = colours.astype(np.uint8).reshape(4096, 4096, 3)
    theirs = cv2.cvtColor(colours, cv2.COLOR_RGB2Lab)
    yield compare("RGB -> Lab", _core.rgb_to_lab(colours), theirs)
    theirs = cv2.cvtColor(colours, cv2.COLOR_Lab2RGB)
    yield compare("Lab -> RGB", _core.lab_to_rgb(colours), theirs)


CHECKS: dict[str, Callable[[Rng], Iterator[Comparison]]] = {
    **{
        f"decode {kind}": (lambda rng, kind=kind: check_decode(rng, kind))  # type: ignore[misc]
        for kind in (*ENCODERS, *FORMATS)
    },
    "decode 16 bits": check_decode_wide,
    "resize, median, gamma 16 bits": check_wide,
    "decode JPEG reduced": check_reduced,
    "resize": check_resize,
    "fit": check_fit,
    "clahe": check_clahe,
    "clahe16": check_clahe16,
    "median": check_median,
    "gamma": check_gamma,
}
