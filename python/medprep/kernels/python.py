"""The reference: the same pipeline in OpenCV and NumPy."""

from __future__ import annotations

import zlib
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medprep import _core
from medprep.errors import (
    DecodeError,
    ExtraMissingError,
    LimitError,
    StepError,
    UsageError,
)
from medprep.pipeline import PipelineSpec
from medprep.steps import Clahe, Gamma, Median, Resize, Step, Window
from medprep.types import ImageU8

_CRITICAL_CHUNKS = frozenset((b"IHDR", b"PLTE", b"IDAT", b"IEND"))
_TEXT_CHUNKS = frozenset((b"iCCP", b"iTXt", b"sPLT", b"tEXt", b"zTXt"))
_MAX_PIXELS = 178_956_970  # as the core's Limits


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
        self._most = 65535 if spec.is_wide else 255
        self._tables = {
            step: gamma_table(step.gamma, self._most)
            for step in spec.steps
            if isinstance(step, Gamma)
        }

    def __call__(self, data: bytes, *, frame: int | None = None) -> NDArray[Any]:
        """Encoded bytes to (H, W, C). Raises ImageError when this image is to blame."""
        image = windowed(self._cv2, data, self._spec, frame=frame)
        for step in self._spec.steps[1:]:
            try:
                image = self._apply(step, image)
            except self._cv2.error as error:
                reason = " ".join(str(error.err).split())
                raise StepError(f"{step.name}: {reason}", stage=step.name) from None
        if self._spec.dtype == "float32":
            image = image.astype(np.float32) / np.float32(self._most)
        pixels = np.ascontiguousarray(image)
        return pixels[:, :, None] if pixels.ndim == 2 else pixels

    def _apply(self, step: Step, image: NDArray[Any]) -> NDArray[Any]:
        cv2 = self._cv2
        if isinstance(step, Resize):
            image = resize(cv2, image, step)
        elif isinstance(step, Clahe):
            image = clahe(cv2, image, step)
        elif isinstance(step, Gamma):
            image = self._tables[step][image]
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


def windowed(
    cv2: Any,  # noqa: ANN401
    data: bytes,
    spec: PipelineSpec,
    *,
    frame: int | None = None,
) -> NDArray[Any]:
    """Pixels in front of the resize: decoded, through a window where the file has grey values.

    uint16 when the pipeline is wide, else uint8. Raises ImageError.
    """
    header = _core.probe(data)
    channels, wide, window = spec.decode.channels, spec.is_wide, spec.window
    target = spec.resize if spec.decode.fast else None
    if header["format"] == "DICOM":
        frames = _frames(spec) if frame is None else frame
        return _to_channels(cv2, _dicom(data, spec, header, frames), channels)
    if frame is not None:
        reason = f"frame {frame} was planned of DICOM, and this is none"
        raise DecodeError(f"cannot decode image: {reason}", stage="decode")
    is_grey = int(header["channels"]) <= 2
    is_deep = int(header["bit_depth"]) == 16
    has_window = window is not None and window.mode != "none"
    if not has_window or not is_grey or not (is_deep or window_numbers(window)):
        image = decode(cv2, data, channels, deep=wide, reduced_for=target)
        return widen(image) if wide and image.dtype == np.uint8 else image
    values = decode(cv2, data, "grey", deep=True, reduced_for=target)
    numbers = window_numbers(window)
    levels = (
        window_linear(values, *numbers, wide=wide) if numbers else window_range(values, wide=wide)
    )
    return _to_channels(cv2, levels, channels)


def _frames(spec: PipelineSpec) -> str:
    # A file with several frames has a number in every sample.
    return "only" if spec.all_frames else spec.decode.frames or "middle"


def _dicom(
    data: bytes, spec: PipelineSpec, header: dict[str, int | str], frames: int | str
) -> NDArray[Any]:
    """What the core shows of a DICOM file: OpenCV reads none, and its decoder is tested apart."""
    window = spec.window
    if window is None or window.mode != "none" or header["channels"] == 3:
        show = _core.decode_dicom_u16 if spec.is_wide else _core.decode_dicom
        return show(data, window_numbers(window), frames)
    bits, room = int(header["bit_depth"]), 16 if spec.is_wide else 8
    if bits > room:
        reason = f"none given: {bits} stored bits do not fit the {room} of the output"
        raise StepError(f"window: {reason}", stage="window")
    stored = _core.decode_dicom_stored(data, frames)
    # Signed values are moved up by half their range, so that their order is kept.
    half = 1 << (bits - 1) if stored.dtype.kind == "i" else 0
    values = np.clip(stored.astype(np.int64) + half, 0, (1 << room) - 1)
    return values.astype(np.uint16 if spec.is_wide else np.uint8)


def window_numbers(window: Window | None) -> tuple[float, float] | None:
    """Center and width of a window that has them."""
    if window is None or window.center is None or window.width is None:
        return None
    return window.center, window.width


def window_linear(values: NDArray[Any], center: float, width: float, *, wide: bool) -> NDArray[Any]:
    """DICOM PS3.3 C.11.2.1.2.1 on stored values."""
    x = values.astype(np.float64)
    if width <= 1.0:
        return _levels((x > center - 0.5).astype(np.float64), wide=wide)
    return _levels((x - (center - 0.5)) / (width - 1.0) + 0.5, wide=wide)


def window_range(values: NDArray[Any], *, wide: bool) -> NDArray[Any]:
    """From the smallest value (black) to the largest (white)."""
    low, high = float(values.min()), float(values.max())
    width = max(high - low, float(np.finfo(np.float64).tiny))
    center = low + (high - low) / 2.0
    return _levels((values.astype(np.float64) - center) / width + 0.5, wide=wide)


def _levels(fraction: NDArray[np.float64], *, wide: bool) -> NDArray[Any]:
    scaled = np.rint(np.clip(fraction, 0.0, 1.0) * (65535.0 if wide else 255.0))
    return scaled.astype(np.uint16 if wide else np.uint8)


def widen(image: ImageU8) -> NDArray[np.uint16]:
    """8-bit values times 257: black and white stay black and white."""
    return image.astype(np.uint16) * np.uint16(257)


def _to_channels(cv2: Any, image: NDArray[Any], channels: str) -> NDArray[Any]:  # noqa: ANN401
    if channels == "rgb" and image.ndim == 2:
        return np.repeat(image[:, :, None], 3, axis=2)
    if channels == "grey" and image.ndim == 3:
        grey: NDArray[Any] = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        return grey
    return image


def decode(
    cv2: Any,  # noqa: ANN401 (a module)
    data: bytes,
    channels: str,
    *,
    deep: bool = False,
    reduced_for: Resize | None = None,
) -> NDArray[Any]:
    """As cv2.imdecode: (H, W, 3) in RGB order, or (H, W) for grey; EXIF orientation applied.

    JPEG and PNG by OpenCV, other formats by the core.

    deep: 16-bit files keep their values.
    reduced_for: a JPEG is decoded at the smallest of 1, 1/2, 1/4 and 1/8 that this step shrinks.

    Raises LimitError, UnsupportedError or DecodeError; the header is checked by the core, so that
    both kernels refuse the same files.
    """
    header = _core.probe(data)
    format_ = header["format"]
    _check_cap("number of pixels", int(header["height"]) * int(header["width"]), _MAX_PIXELS)
    if format_ not in ("JPEG", "PNG"):
        # OpenCV's other decoders take damaged files by another rule, some not at all; of sound ones
        # the core's pixels are theirs (tests/parity).
        is_deep = deep and int(header["bit_depth"]) == 16
        return _core.decode_wide(data, channels) if is_deep else _core.decode(data, channels)
    if format_ == "JPEG":
        # OpenCV repairs damage silently (before 5.0 even a missing half, with grey).
        _core.check_jpeg(data, channels)
    elif format_ == "PNG":
        data = sound_chunks(data)
    divisor = 1
    if format_ == "JPEG" and reduced_for is not None:
        divisor = reduction((int(header["height"]), int(header["width"])), reduced_for)
    flag = _imread_flag(cv2, channels, divisor)
    if deep:
        flag |= cv2.IMREAD_ANYDEPTH
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    except cv2.error as error:
        reason = " ".join(str(error.err).split())
        raise DecodeError(f"cannot decode {format_}: {reason}", stage="decode") from None
    if image is None:
        raise DecodeError(f"cannot decode {format_}: OpenCV gives no reason", stage="decode")
    if channels == "rgb":
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    pixels: NDArray[Any] = image
    return pixels


def reduction(size: tuple[int, int], step: Resize) -> int:
    """1, 2, 4 or 8: the most by which both sides may be divided and stay what `step` makes of them.

    size: (height, width) of the upright image.
    """
    full = full_size(size, step)
    return max(
        divisor
        for divisor in (1, 2, 4, 8)
        if divisor == 1
        or all(-(-side // divisor) >= least for side, least in zip(size, full, strict=True))
    )


def _imread_flag(cv2: Any, channels: str, divisor: int) -> int:  # noqa: ANN401
    name = "GRAYSCALE" if channels == "grey" else "COLOR"
    flag = f"IMREAD_{name}" if divisor == 1 else f"IMREAD_REDUCED_{name}_{divisor}"
    return int(getattr(cv2, flag))


def sound_chunks(data: bytes) -> bytes:
    """A PNG up to its end, without the chunks that name things.

    libpng asks for as much memory as a chunk claims to have, takes a last chunk that is damaged,
    and quotes odd names on stderr. Raises DecodeError for chunks that are cut off or damaged.
    """
    kept, at, kind = [data[:8]], 8, b""
    while kind != b"IEND":
        kind = data[at + 4 : at + 8]
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if end > len(data):
            raise DecodeError("cannot decode PNG: premature end of data", stage="decode")
        if (
            kind in _CRITICAL_CHUNKS
            and zlib.crc32(data[at + 4 : end - 4]).to_bytes(4, "big") != (data[end - 4 : end])
        ):
            raise DecodeError(f"cannot decode PNG: CRC error in {kind.decode()}", stage="decode")
        if kind not in _TEXT_CHUNKS:
            kept.append(data[at:end])
        at = end
    return b"".join(kept)


def resize(cv2: Any, image: NDArray[Any], step: Resize) -> NDArray[Any]:  # noqa: ANN401
    """To (step.height, step.width): stretched, centre-cropped or letterboxed with zeros."""
    height, width = step.height, step.width
    interpolation = cv2.INTER_AREA if step.interpolation == "area" else cv2.INTER_LINEAR
    inner = full_size((image.shape[0], image.shape[1]), step)
    scaled: NDArray[Any] = cv2.resize(image, inner[::-1], interpolation=interpolation)
    if step.mode == "stretch":
        return scaled
    top, left = abs(inner[0] - height) // 2, abs(inner[1] - width) // 2
    if step.mode == "crop":
        return scaled[top : top + height, left : left + width]
    boxed = np.zeros((height, width, *image.shape[2:]), image.dtype)
    boxed[top : top + inner[0], left : left + inner[1]] = scaled
    return boxed


def full_size(size: tuple[int, int], step: Resize) -> tuple[int, int]:
    """(height, width) that an image of `size` is resized to before it is cut or padded."""
    (rows, columns), (height, width) = size, (step.height, step.width)
    if step.mode == "stretch":
        return height, width
    if step.mode == "crop":
        scale = max(height / rows, width / columns)
        return max(height, int(rows * scale + 0.5)), max(width, int(columns * scale + 0.5))
    scale = min(height / rows, width / columns)
    return (
        min(max(int(rows * scale + 0.5), 1), height),
        min(max(int(columns * scale + 0.5), 1), width),
    )


def clahe(cv2: Any, image: NDArray[Any], step: Clahe) -> NDArray[Any]:  # noqa: ANN401
    """On grey directly, on RGB on L of 8-bit Lab."""
    # Made anew for every image: the object keeps buffers and must not be shared by threads.
    operator = cv2.createCLAHE(step.clip_limit, (step.tiles, step.tiles))
    image = np.ascontiguousarray(image)
    if image.ndim == 2:
        grey: NDArray[Any] = operator.apply(image)
        return grey
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    lab[:, :, 0] = operator.apply(np.ascontiguousarray(lab[:, :, 0]))
    rgb: ImageU8 = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
    return rgb


def gamma_table(gamma: float, most: int = 255) -> NDArray[Any]:
    """All entries of round(most (v/most)^(1/gamma)), half to even; most: 255 or 65535."""
    values = np.arange(most + 1, dtype=np.float64)
    table = np.rint(most * (values / most) ** (1.0 / gamma))
    return table.astype(np.uint8 if most == 255 else np.uint16)


def _check_cap(what: str, found: int, limit: int) -> None:
    if found > limit:
        raise LimitError(f"{what} is {found}, over the limit of {limit}", stage="decode")
