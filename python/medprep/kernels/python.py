"""The reference: the same pipeline in OpenCV and NumPy."""

from __future__ import annotations

import re
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

from medprep import _core
from medprep.errors import (
    DecodeError,
    ExtraMissingError,
    LimitError,
    StepError,
    UsageError,
)
from medprep.pipeline import PipelineSpec
from medprep.steps import Clahe, Gamma, Median, Resize, Step
from medprep.types import ImageU8

_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")  # not stuffing, not a restart
_SCAN, _END = 0xDA, 0xD9
_WITHOUT_BODY = {0x01, *range(0xD0, 0xD9)}
_MAX_PIXELS, _MAX_SCANS = 178_956_970, 500  # as the core's Limits


class PythonKernel:
    """One pipeline on OpenCV, which gets one thread: parallelism is across images."""

    def __init__(self, spec: PipelineSpec, *, keep_damaged: bool = False) -> None:
        if keep_damaged:
            raise UsageError(
                "kernel 'python' cannot keep damaged images: OpenCV does not return them",
                hint="use --kernel rust or --on-damage skip",
            )
        self._cv2 = load_opencv()
        self._spec = spec
        self._tables = {
            step: gamma_table(step.gamma) for step in spec.steps if isinstance(step, Gamma)
        }

    def __call__(self, data: bytes) -> ImageU8:
        """Encoded bytes to (H, W, C) uint8. Raises ImageError when this image is to blame."""
        image = decode(self._cv2, data, self._spec.decode.channels)
        for step in self._spec.steps[1:]:
            try:
                image = self._apply(step, image)
            except self._cv2.error as error:
                reason = " ".join(str(error.err).split())
                raise StepError(f"{step.name}: {reason}", stage=step.name) from None
        pixels: ImageU8 = np.ascontiguousarray(image)
        return pixels[:, :, None] if pixels.ndim == 2 else pixels

    def _apply(self, step: Step, image: ImageU8) -> ImageU8:
        cv2 = self._cv2
        if isinstance(step, Resize):
            image = resize(cv2, image, step)
        elif isinstance(step, Clahe):
            image = clahe(cv2, image, step)
        elif isinstance(step, Gamma):
            image = cv2.LUT(image, self._tables[step])
        elif isinstance(step, Median):
            image = cv2.medianBlur(image, step.size)
        return image


def load_opencv() -> ModuleType:
    """OpenCV, quiet and with one thread. Raises ExtraMissingError when it is not installed."""
    try:
        cv2 = import_module("cv2")
    except ImportError:
        raise ExtraMissingError(
            "kernel 'python' needs OpenCV, which is not installed",
            hint="pip install 'medprep[opencv]', or use --kernel rust",
        ) from None
    cv2.setNumThreads(1)
    # What is wrong with an image goes to failures.jsonl, not to stderr.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    return cv2


def decode(cv2: Any, data: bytes, channels: str) -> ImageU8:  # noqa: ANN401 (a module)
    """As cv2.imdecode: (H, W, 3) in RGB order, or (H, W) for grey; EXIF orientation applied.

    Raises LimitError, UnsupportedError or DecodeError; the header is checked by the core, so that
    both kernels refuse the same files.
    """
    header = _core.probe(data)
    format_ = header["format"]
    _check_cap("pixels", int(header["height"]) * int(header["width"]), _MAX_PIXELS)
    if format_ == "JPEG":
        scans, ends = jpeg_scans(data)
        _check_cap("JPEG scans", scans, _MAX_SCANS)
        if not ends:
            # OpenCV before 5.0 fills the missing part with grey and says nothing.
            raise DecodeError("cannot decode JPEG: premature end of data", stage="decode")
    flag = cv2.IMREAD_GRAYSCALE if channels == "grey" else cv2.IMREAD_COLOR
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    except cv2.error as error:
        reason = " ".join(str(error.err).split())
        raise DecodeError(f"cannot decode {format_}: {reason}", stage="decode") from None
    if image is None:
        raise DecodeError(f"cannot decode {format_}: OpenCV gives no reason", stage="decode")
    if channels == "rgb":
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    pixels: ImageU8 = image
    return pixels


def jpeg_scans(data: bytes) -> tuple[int, bool]:
    """How many scans a JPEG has, and whether the image ends: what is cut short does not.

    Goes from segment to segment, as the core does, so that neither thumbnails in a header nor
    what cameras append behind the image count.
    """
    scans, at = 0, 2
    while (found := _MARKER.search(data, at)) is not None:
        marker, at = found[1][0], found.end()
        if marker == _END:
            return scans, True
        if marker in _WITHOUT_BODY:
            continue
        scans += marker == _SCAN
        at += int.from_bytes(data[at : at + 2], "big")
        if at > len(data):
            break
    return scans, False


def resize(cv2: Any, image: ImageU8, step: Resize) -> ImageU8:  # noqa: ANN401
    """To (step.height, step.width): stretched, centre-cropped or letterboxed with zeros."""
    rows, columns = image.shape[:2]
    height, width = step.height, step.width
    interpolation = cv2.INTER_AREA if step.interpolation == "area" else cv2.INTER_LINEAR
    if step.mode == "stretch":
        stretched: ImageU8 = cv2.resize(image, (width, height), interpolation=interpolation)
        return stretched
    if step.mode == "crop":
        scale = max(height / rows, width / columns)
        inner = max(height, int(rows * scale + 0.5)), max(width, int(columns * scale + 0.5))
    else:
        scale = min(height / rows, width / columns)
        inner = (
            min(max(int(rows * scale + 0.5), 1), height),
            min(max(int(columns * scale + 0.5), 1), width),
        )
    scaled: ImageU8 = cv2.resize(image, inner[::-1], interpolation=interpolation)
    top, left = abs(inner[0] - height) // 2, abs(inner[1] - width) // 2
    if step.mode == "crop":
        return scaled[top : top + height, left : left + width]
    boxed = np.zeros((height, width, *image.shape[2:]), np.uint8)
    boxed[top : top + inner[0], left : left + inner[1]] = scaled
    return boxed


def clahe(cv2: Any, image: ImageU8, step: Clahe) -> ImageU8:  # noqa: ANN401
    """On grey directly, on RGB on L of 8-bit Lab."""
    # Made anew for every image: the object keeps buffers and must not be shared by threads.
    operator = cv2.createCLAHE(step.clip_limit, (step.tiles, step.tiles))
    image = np.ascontiguousarray(image)
    if image.ndim == 2:
        grey: ImageU8 = operator.apply(image)
        return grey
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    lab[:, :, 0] = operator.apply(np.ascontiguousarray(lab[:, :, 0]))
    rgb: ImageU8 = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
    return rgb


def gamma_table(gamma: float) -> ImageU8:
    """The 256 entries of round(255 (v/255)^(1/gamma)), half to even."""
    values = np.arange(256, dtype=np.float64)
    return np.rint(255.0 * (values / 255.0) ** (1.0 / gamma)).astype(np.uint8)


def _check_cap(what: str, found: int, limit: int) -> None:
    if found > limit:
        raise LimitError(f"{what} is {found}, over the limit of {limit}", stage="decode")
