"""The Python face: the same words as the flags; NumPy in, NumPy out.

Arrays are (H, W) or (H, W, C), C-contiguous. Errors are those of `medprep.errors`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from medprep import _core
from medprep.errors import SpecError
from medprep.options import DataOptions, parse_bytes
from medprep.pipeline import Overrides, parse_clahe, parse_size, parse_window
from medprep.report import ShardReport
from medprep.run import RunOptions, run_shard
from medprep.types import ImageU8

Pixels = NDArray[Any]


def shard(
    src: str | Path,
    out: str | Path,
    *,
    layout: str | None = None,
    preset: str | None = None,
    steps: str | Path | None = None,
    size: int | str | tuple[int, int] | None = None,
    window: str | tuple[float, float] | None = None,
    frames: str | None = None,
    resize: str | None = None,
    interpolation: str | None = None,
    clahe: str | tuple[float, int] | bool | None = None,
    gamma: float | None = None,
    median: int | None = None,
    dtype: str | None = None,
    fast_decode: bool = False,
    split: str | None = None,
    group_by: str | None = None,
    unlabelled: str | None = None,
    seed: int | None = None,
    engine: str = "threads",
    kernel: str = "rust",
    threads: int | None = None,
    scheduler: str = "local",
    part: tuple[int, int] | None = None,
    shard_size: int | str | None = None,
    shard_samples: int | None = None,
    compress: str | None = None,
    on_error: str = "skip",
    on_damage: str | None = None,
    private: bool | None = None,
    keep_captions: bool = False,
    private_map: str | Path | None = None,
    key_file: str | Path | None = None,
    overwrite: bool = False,
) -> ShardReport:
    """Make the shards of SRC in OUT, as `medprep shard` does; the same call again resumes.

    size: 224, "320x256" or (height, width). clahe: "2.0:8", (2.0, 8), or False to leave it out.
    window: "auto", "none", "40:400" or (40, 400). dtype: "uint8", "uint16" or "float32".
    part: (I, N). shard_size: bytes, or text such as "256MiB". None = the default.
    fast_decode: decode JPEGs at 1/2, 1/4 or 1/8 where the target size allows it; not exact, the
    manifest holds the measured error.

    Raises UsageError or SpecError for wrong use, NoInputError when no image could be stored,
    ImageError with on_error="fail", StorageError for trouble with OUT. Failed inputs are counted
    in the report and listed in OUT/failures.jsonl. Ctrl-C raises KeyboardInterrupt; finished
    shards are kept.
    """
    data = DataOptions(
        layout=layout,
        preset=preset,
        steps=_path(steps),
        overrides=Overrides(
            size=_size(size),
            window=parse_window(window) if isinstance(window, str) else window,
            frames=frames,
            resize=resize,
            interpolation=interpolation,
            clahe=parse_clahe(clahe) if isinstance(clahe, str) else clahe,
            gamma=gamma,
            median=median,
            dtype=dtype,
            fast_decode=fast_decode or None,
        ),
        split=split,
        group_by=group_by,
        unlabelled=unlabelled,
        seed=seed,
        shard_size=parse_bytes(shard_size) if isinstance(shard_size, str) else shard_size,
        shard_samples=shard_samples,
        compress=compress,
        on_damage=on_damage,
        private=private,
        keep_captions=keep_captions,
        private_map=_path(private_map),
        key_file=_path(key_file),
    )
    run = RunOptions(
        engine=engine,
        kernel=kernel,
        threads=threads,
        scheduler=scheduler,
        part=part,
        on_error=on_error,
        overwrite=overwrite,
    )
    return run_shard(Path(src), Path(out), data, run)


def decode(data: bytes) -> ImageU8:
    """Decode a JPEG, PNG, TIFF, WebP, GIF or BMP to (H, W, 3) uint8 in RGB order, upright.

    Equal to cv2.imdecode(..., IMREAD_COLOR) with the channels reversed (lossy WebP: see
    docs/formats.md): EXIF orientation applied, alpha dropped, 16-bit scaled to 8, the first page or
    frame. Raises DecodeError for damaged bytes, LimitError over the caps, UnsupportedError for
    other formats and for DICOM, which is decode_dicom's.
    """
    return _core.decode(data)


def decode_dicom(
    data: bytes,
    *,
    window: Literal["auto"] | tuple[float, float] | None = "auto",
    frames: Literal["first", "middle", "all"] | int = "middle",
) -> NDArray[Any]:
    """Decode the pixels of a DICOM file; nothing of its header is returned.

    window: "auto" uses the file's VOI LUT or else its first VOI window, that of the frame where
    frames have their own; a file without either is shown as stored (8 bits, no rescale) or from its
    smallest to its largest modality value, padding left out. (center, width) is a linear window in
    modality units (HU for CT). MONOCHROME1 is inverted after the window. Both give uint8: (H, W)
    grey or (H, W, 3) RGB, palettes too. None gives the stored values in the file's own type
    (uint8, int8, uint16, int16, uint32 or int32); of a palette the indices, of YBR the RGB.
    frames: of a multi-frame file; "all" puts an axis of frames in front, a number takes
        that one (from 0) and decodes no other.

    Built in: uncompressed (implicit, explicit, big-endian, deflated), RLE, JPEG Baseline, Extended
    (8 and 12 bits) and lossless (process 14); the whole table is docs/formats.md.
    Raises DecodeError for damaged files, UnsupportedError (naming the transfer syntax) for others,
    LimitError over the caps, StepError for a window that cannot be.
    Follows DICOM PS3.3 C.7.6.3, C.11.1, C.11.2 and PS3.5 A.4, annex G.
    """
    if window is None:
        return _core.decode_dicom_stored(data, frames)
    return _core.decode_dicom(data, None if window == "auto" else window, frames)


def resize(image: Pixels, *, height: int, width: int, interpolation: str = "area") -> Pixels:
    """Resize to exactly (height, width), as cv2.resize with INTER_AREA or INTER_LINEAR.

    image: (H, W) or (H, W, 3), uint8 or uint16 (which takes "area" only); the result has the same
    number of axes and dtype. interpolation: "area" or "linear". Raises SpecError for another dtype
    or interpolation, StepError or SpecError for sizes that cannot be.
    """
    return _core.resize(_pixels(image, wide=True), height, width, interpolation)


def rgb_to_lab(image: ImageU8) -> ImageU8:
    """Convert RGB to 8-bit CIE Lab (L scaled to 0..255, a and b offset by 128).

    image: (H, W, 3) uint8. Equal to cv2.cvtColor(..., COLOR_RGB2LAB). Raises SpecError for another
    dtype, StepError for other shapes.
    """
    return _core.rgb_to_lab(_pixels(image))


def lab_to_rgb(image: ImageU8) -> ImageU8:
    """Convert 8-bit CIE Lab to RGB.

    image: (H, W, 3) uint8. Equal to cv2.cvtColor(..., COLOR_LAB2RGB). Raises SpecError for another
    dtype, StepError for other shapes.
    """
    return _core.lab_to_rgb(_pixels(image))


def clahe(image: Pixels, *, clip_limit: float = 2.0, tiles: int = 8) -> Pixels:
    """Equalise the histogram locally with limited contrast, as OpenCV's CLAHE.

    image: (H, W) uint8 or uint16, or (H, W, 3) uint8 RGB, where it works on L of 8-bit Lab.
    tiles: tiles per side. The result has the image's shape and dtype. Raises SpecError for another
    dtype, StepError for other shapes.
    """
    return _core.clahe(_pixels(image, wide=True), clip_limit, tiles)


def gamma(image: Pixels, *, gamma: float) -> Pixels:
    """Map every value v to round(M (v/M)^(1/gamma)), M = 255 or 65535; gamma > 1 brightens.

    image: (H, W) or (H, W, 3), uint8 or uint16. Raises SpecError for another dtype and unless
    gamma is positive and finite.
    """
    return _core.gamma(_pixels(image, wide=True), gamma)


def median(image: Pixels, *, size: int = 3) -> Pixels:
    """Take the median of every 3 x 3 neighbourhood, as cv2.medianBlur(image, 3).

    image: (H, W) or (H, W, 3), uint8 or uint16. Raises SpecError for another dtype or size.
    """
    return _core.median(_pixels(image, wide=True), size)


def _pixels(image: NDArray[Any], *, wide: bool = False) -> NDArray[Any]:
    """The image in C order. Raises SpecError naming the dtypes that are taken."""
    array = np.ascontiguousarray(image)
    if array.dtype == np.uint8 or (wide and array.dtype == np.uint16):
        return array
    expected = "uint8 or uint16" if wide else "uint8"
    raise SpecError(f"image must be of dtype {expected}, got {array.dtype}")


def _path(path: str | Path | None) -> Path | None:
    return None if path is None else Path(path)


def _size(size: int | str | tuple[int, int] | None) -> tuple[int, int] | None:
    if size is None:
        return None
    if isinstance(size, tuple):
        return size
    return parse_size(str(size))
