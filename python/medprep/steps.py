"""The steps of a pipeline, each checked when it is made.

Order is always decode, window, resize, CLAHE, gamma, median.
`rust/medprep-core/src/pipeline/step.rs` holds the same names and ranges.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from difflib import get_close_matches
from math import isfinite
from typing import Any, ClassVar

from medprep.errors import SpecError

CHANNELS = ("rgb", "grey", "auto")
FRAMES = ("first", "middle", "all")
WINDOW_MODES = ("auto", "none")
RESIZE_MODES = ("stretch", "crop", "letterbox")
INTERPOLATIONS = ("area", "linear")
MAX_SIDE = 16_384  # pixels of a stored image


@dataclass(frozen=True, slots=True, kw_only=True)
class Decode:
    """Bytes to pixels. `auto` (Python only, until the plan resolves it): grey if all inputs are.

    frames: of a multi-frame DICOM file, `first`, `middle` or `all`, each a sample of its own; None
    means middle.
    fast: JPEGs are decoded at 1/2, 1/4 or 1/8, the smallest that is not below the resized size on
    either side. Not exact; the manifest says by how much.
    """

    name: ClassVar[str] = "decode"
    channels: str = "rgb"
    frames: str | None = None
    fast: bool = False

    def __post_init__(self) -> None:
        _one_of("decode channels", self.channels, CHANNELS)
        if self.frames is not None:
            _one_of("decode frames", self.frames, FRAMES)
        if not isinstance(self.fast, bool):
            raise SpecError(f"decode fast must be true or false, got {self.fast!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Grey values of DICOM and 16-bit files to grey levels, before the resize.

    mode: `auto` is the file's VOI window or, without one, its smallest to its largest value;
    `none` keeps stored values that fit (signed ones moved up by half their range). Else center and
    width of a linear window (DICOM PS3.3 C.11.2.1.2.1), in modality units (HU for CT) or stored
    values of other files. Without this step DICOM is shown as by `auto`. Colour has no window and
    is left as it is.
    """

    name: ClassVar[str] = "window"
    mode: str | None = None
    center: float | None = None
    width: float | None = None

    def __post_init__(self) -> None:
        if self.mode is not None:
            _one_of("window mode", self.mode, WINDOW_MODES)
            if self.center is not None or self.width is not None:
                raise SpecError("window needs a mode, or center and width, not both")
            return
        if self.center is None or self.width is None:
            raise SpecError("window needs a mode, or center and width")
        center = _real("window center", self.center, -1e9, 1e9)
        # Further decimals would be written with an exponent, which Python and Rust spell apart.
        if center != 0 and abs(center) < 0.001:
            raise SpecError(f"window center must be 0 or at least 0.001 in size, got {center!r}")
        object.__setattr__(self, "center", center)
        object.__setattr__(self, "width", _real("window width", self.width, 1.0, 1e9))


@dataclass(frozen=True, slots=True, kw_only=True)
class Resize:
    """Every image to (height, width).

    mode: `stretch` changes the aspect ratio; `crop` covers the target and cuts the centre out;
    `letterbox` fits inside and pads with 0.
    interpolation: as cv2.INTER_AREA and cv2.INTER_LINEAR.
    """

    name: ClassVar[str] = "resize"
    height: int
    width: int
    mode: str = "stretch"
    interpolation: str = "area"

    def __post_init__(self) -> None:
        _whole("resize height", self.height, 1, MAX_SIDE)
        _whole("resize width", self.width, 1, MAX_SIDE)
        _one_of("resize mode", self.mode, RESIZE_MODES)
        _one_of("resize interpolation", self.interpolation, INTERPOLATIONS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clahe:
    """Contrast-limited adaptive histogram equalisation; on RGB of L of 8-bit Lab.

    clip_limit: as OpenCV's clipLimit. tiles: tiles per side.
    """

    name: ClassVar[str] = "clahe"
    clip_limit: float = 2.0
    tiles: int = 8

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "clip_limit", _real("CLAHE clip limit", self.clip_limit, 0.01, 10_000.0)
        )
        _whole("CLAHE tiles", self.tiles, 1, 256)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gamma:
    """The table round(255 (v/255)^(1/gamma)): gamma > 1 brightens."""

    name: ClassVar[str] = "gamma"
    gamma: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "gamma", _real("gamma", self.gamma, 0.01, 100.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Median:
    """Median filter of size x size; only 3, as cv2.medianBlur."""

    name: ClassVar[str] = "median"
    size: int = 3

    def __post_init__(self) -> None:
        if self.size != 3 or isinstance(self.size, bool):
            raise SpecError(f"median size must be 3, got {self.size!r}")


Step = Decode | Window | Resize | Clahe | Gamma | Median

STEPS: Mapping[str, type[Step]] = {
    "decode": Decode,
    "window": Window,
    "resize": Resize,
    "clahe": Clahe,
    "gamma": Gamma,
    "median": Median,
}
"""By name, in the only order in which they may stand."""


def step_from_json(data: object) -> Step:
    """A step from its JSON object. Raises SpecError for unknown steps, keys and values."""
    if not isinstance(data, Mapping):
        raise SpecError(f"a step must be an object with the key 'step', got {data!r}")
    name = data.get("step")
    if not isinstance(name, str) or name not in STEPS:
        raise SpecError(f"unknown step {name!r}{_suggest(str(name), STEPS)}")
    kind = STEPS[name]
    known = {field.name: field for field in fields(kind)}
    for key in data:
        if key != "step" and key not in known:
            raise SpecError(f"step {name!r}: unknown key {key!r}{_suggest(str(key), known)}")
    try:
        return kind(**{key: value for key, value in data.items() if key != "step"})
    except TypeError:
        required = {name for name, field in known.items() if field.default is MISSING}
        needed = ", ".join(sorted(required - set(data)))
        raise SpecError(f"step {name!r}: needs {needed}") from None


def step_to_json(step: Step) -> dict[str, Any]:
    """The step's JSON object, all values written out but None and a `fast` that is false.

    So that the fingerprint of a pipeline is what it was before there were such values.
    """
    values = {field.name: getattr(step, field.name) for field in fields(step)}
    if isinstance(step, Decode) and not step.fast:
        del values["fast"]
    return {"step": step.name, **{key: v for key, v in values.items() if v is not None}}


def _whole(what: str, value: object, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise SpecError(f"{what} must be a whole number in {low}..{high}, got {value!r}")


def _real(what: str, value: object, low: float, high: float) -> float:
    if (
        not isinstance(value, int | float)
        or isinstance(value, bool)
        or not isfinite(value)
        or not low <= value <= high
    ):
        raise SpecError(f"{what} must be a number in {low:g}..{high:g}, got {value!r}")
    return float(value)


def _one_of(what: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise SpecError(
            f"{what} must be one of {', '.join(choices)}; got {value!r}"
            f"{_suggest(str(value), choices)}"
        )


def _suggest(word: str, known: Mapping[str, object] | tuple[str, ...]) -> str:
    close = get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"
