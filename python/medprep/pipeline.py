"""The pipeline specification: which steps, with which values, and the fingerprint of that.

The canonical JSON and the fingerprint are the same, byte for byte, as `_core.canonical_spec` and
`_core.fingerprint`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from medprep.errors import SpecError, UsageError
from medprep.steps import (
    MAX_SIDE,
    STEPS,
    WINDOW_MODES,
    Clahe,
    Decode,
    Gamma,
    Median,
    Resize,
    Step,
    Window,
)
from medprep.steps import step_from_json as _step_from_json
from medprep.steps import step_to_json as _step_to_json
from medprep.types import ImageShape

DTYPES = ("uint8", "uint16", "float32")
_MAX_FILE_BYTES = 2**20  # a steps file is a dozen lines


@dataclass(frozen=True, slots=True)
class PipelineSpec:
    """Steps in their fixed order and the dtype of the stored pixels.

    Raises SpecError when a step is missing, repeated or out of order.
    """

    steps: tuple[Step, ...]
    dtype: str = "uint8"

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise SpecError(f"dtype must be one of {', '.join(DTYPES)}; got {self.dtype!r}")
        names = [step.name for step in self.steps]
        order = list(STEPS)
        for name in ("decode", "resize"):
            if names.count(name) != 1:
                raise SpecError(
                    f"a pipeline needs exactly one step {name!r}, found {names.count(name)}"
                )
        positions = [order.index(name) for name in names]
        if positions != sorted(set(positions)):
            raise SpecError(
                f"steps must stand in the order {', '.join(order)}, each at most once; "
                f"got {', '.join(names)}"
            )
        if self.is_wide:
            self._refuse_narrow_steps()
        if self.decode.fast and self.dtype != "uint8":
            raise SpecError(
                f"a fast decode is not exact to more than 8 bits: with dtype {self.dtype} leave "
                "--fast-decode (decode fast) out, or use dtype uint8"
            )

    def _refuse_narrow_steps(self) -> None:
        """Raise SpecError for steps that have no definition on 16-bit values."""
        if self._has_lab:
            raise SpecError(
                "CLAHE of RGB works on 8-bit Lab: with dtype uint16 decode grey, leave CLAHE out "
                "(--no-clahe), or use dtype uint8"
            )
        if self.resize.interpolation == "linear":
            raise SpecError(
                f"interpolation 'linear' has no stable definition on 16-bit values (dtype "
                f"{self.dtype}); use area"
            )

    @property
    def _has_lab(self) -> bool:
        is_clahe = any(isinstance(step, Clahe) for step in self.steps)
        return self.decode.channels == "rgb" and is_clahe

    @property
    def is_wide(self) -> bool:
        """True when the steps compute in 16 bits.

        That is so for uint16, and for float32 unless colour goes through CLAHE, which is defined
        on 8-bit Lab. float32 is the result divided by 65535, or 255 where it has 8 bits.
        """
        return self.dtype == "uint16" or (self.dtype == "float32" and not self._has_lab)

    @property
    def all_frames(self) -> bool:
        """True when every frame of a multi-frame file is a sample of its own."""
        return self.decode.frames == "all"

    @property
    def window(self) -> Window | None:
        """The window step, if there is one."""
        return next((step for step in self.steps if isinstance(step, Window)), None)

    @property
    def decode(self) -> Decode:
        """The decode step, always first."""
        return next(step for step in self.steps if isinstance(step, Decode))

    @property
    def resize(self) -> Resize:
        """The resize step, always there."""
        return next(step for step in self.steps if isinstance(step, Resize))

    @property
    def needs_channels(self) -> bool:
        """True while `channels: auto` waits for the plan to look at the inputs."""
        return self.decode.channels == "auto"

    def image_shape(self) -> ImageShape:
        """What every stored image looks like. Raises SpecError while channels are `auto`."""
        if self.needs_channels:
            raise SpecError("decode channels are still 'auto'; the plan resolves them")
        channels = 3 if self.decode.channels == "rgb" else 1
        return ImageShape(
            height=self.resize.height,
            width=self.resize.width,
            channels=channels,
            dtype=self.dtype,
        )

    def with_channels(self, channels: str) -> PipelineSpec:
        """The same pipeline decoding to `rgb` or `grey`."""
        decode = replace(self.decode, channels=channels)
        return replace(self, steps=(decode, *self.steps[1:]))

    def to_json(self) -> dict[str, Any]:
        """The JSON object, all values written out."""
        return {"steps": [_step_to_json(step) for step in self.steps], "dtype": self.dtype}

    def canonical(self) -> str:
        """Keys sorted, no spaces, shortest floats, ASCII."""
        return json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=True)

    def fingerprint(self) -> str:
        """SHA-256 of the canonical JSON in lower-case hex."""
        return hashlib.sha256(self.canonical().encode("ascii")).hexdigest()

    def describe(self) -> str:
        """One line for people: `rgb 224x224 stretch area, CLAHE 2.0:8, gamma 1.2, median 3`."""
        size = self.resize
        parts = [
            f"{self.decode.channels} {size.height}x{size.width} {size.mode} {size.interpolation}"
        ]
        if self.decode.fast:
            parts.append("fast decode")
        if self.decode.frames is not None:
            parts.append("all frames" if self.all_frames else f"{self.decode.frames} frame")
        for step in self.steps:
            if isinstance(step, Window):
                parts.append(f"window {step.mode or f'{step.center}:{step.width}'}")
            elif isinstance(step, Clahe):
                parts.append(f"CLAHE {step.clip_limit}:{step.tiles}")
            elif isinstance(step, Gamma):
                parts.append(f"gamma {step.gamma}")
            elif isinstance(step, Median):
                parts.append(f"median {step.size}")
        if self.dtype != "uint8":
            parts.append(self.dtype)
        return ", ".join(parts)


def _preset(channels: str, side: int, mode: str = "stretch", *photometric: Step) -> PipelineSpec:
    return PipelineSpec(
        (Decode(channels=channels), Resize(height=side, width=side, mode=mode), *photometric)
    )


PRESETS: Mapping[str, PipelineSpec] = MappingProxyType(
    {
        "glaucoma": _preset(
            "rgb", 224, "stretch", Clahe(clip_limit=2.0, tiles=8), Gamma(gamma=1.2), Median(size=3)
        ),
        "pneumonia": _preset("grey", 128),
        # Shorter side to the target, then the centre: that is mode `crop`.
        "dermatology": _preset("rgb", 256, "crop"),
        "captioning": _preset("rgb", 224, "crop"),
        "detection": _preset("grey", 416, "letterbox"),
        "plain": _preset("auto", 224),
    }
)
DEFAULT_PRESET = "plain"


def preset(name: str) -> PipelineSpec:
    """The preset of that name. Raises UsageError with a suggestion when there is none."""
    if name not in PRESETS:
        close = get_close_matches(name, list(PRESETS), n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"presets: {', '.join(PRESETS)}"
        raise UsageError(f"unknown preset {name!r}", hint=hint)
    return PRESETS[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """What flags change in a preset or steps file; None leaves a value alone.

    clahe: (clip_limit, tiles), or False to leave CLAHE out. window: "auto", "none" or
    (center, width). frames: "first", "middle" or "all".
    """

    window: str | tuple[float, float] | None = None
    frames: str | None = None

    size: tuple[int, int] | None = None
    resize: str | None = None
    interpolation: str | None = None
    clahe: tuple[float, int] | bool | None = None
    gamma: float | None = None
    median: int | None = None
    dtype: str | None = None
    fast_decode: bool | None = None

    def apply(self, spec: PipelineSpec) -> PipelineSpec:
        """The specification with these values put in. Raises SpecError for bad values."""
        by_name: dict[str, Step] = {step.name: step for step in spec.steps}
        if self.frames is not None:
            by_name["decode"] = replace(spec.decode, frames=self.frames)
        if isinstance(self.window, tuple):
            by_name["window"] = Window(center=self.window[0], width=self.window[1])
        elif self.window is not None:
            by_name["window"] = Window(mode=self.window)
        resize = spec.resize
        height, width = self.size or (resize.height, resize.width)
        by_name["resize"] = Resize(
            height=height,
            width=width,
            mode=self.resize or resize.mode,
            interpolation=self.interpolation or resize.interpolation,
        )
        if self.fast_decode is not None:
            by_name["decode"] = replace(spec.decode, fast=self.fast_decode)
        if self.clahe is False:
            by_name.pop("clahe", None)
        elif isinstance(self.clahe, tuple):
            by_name["clahe"] = Clahe(clip_limit=self.clahe[0], tiles=self.clahe[1])
        if self.gamma is not None:
            by_name["gamma"] = Gamma(gamma=self.gamma)
        if self.median is not None:
            by_name["median"] = Median(size=self.median)
        steps = tuple(by_name[name] for name in STEPS if name in by_name)
        return PipelineSpec(steps, self.dtype or spec.dtype)


def from_json(data: object) -> PipelineSpec:
    """The specification from its JSON object. Raises SpecError for anything unknown."""
    if not isinstance(data, Mapping):
        raise SpecError(f"a pipeline must be an object with the key 'steps', got {data!r}")
    for key in data:
        if key not in ("steps", "dtype"):
            raise SpecError(f"pipeline: unknown key {key!r}; known: steps, dtype")
    steps = data.get("steps")
    if not isinstance(steps, Sequence) or isinstance(steps, str):
        raise SpecError("pipeline: 'steps' must be a list of steps")
    return PipelineSpec(
        tuple(_step_from_json(step) for step in steps), str(data.get("dtype", "uint8"))
    )


def from_file(path: str | Path) -> PipelineSpec:
    """The specification in a YAML or JSON file (JSON is YAML).

    Raises UsageError when the file cannot be read and SpecError, naming it, when it is wrong.
    """
    file = Path(path)
    try:
        with file.open("rb") as stream:
            raw = stream.read(_MAX_FILE_BYTES + 1)
        if len(raw) > _MAX_FILE_BYTES:
            raise UsageError(f"{file}: over {_MAX_FILE_BYTES} bytes is no steps file")
        data = json.loads(raw) if file.suffix == ".json" else yaml.safe_load(raw)
    except OSError as error:
        raise UsageError(f"{file}: cannot read the steps: {error.strerror}") from None
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise SpecError(f"{file}: not valid YAML or JSON: {reason}") from None
    try:
        return from_json(data)
    except SpecError as error:
        raise SpecError(f"{file}: {error}") from None


def parse_size(text: str) -> tuple[int, int]:
    """`224` or `HxW` as (height, width). Raises UsageError."""
    parts = text.lower().split("x")
    if len(parts) in (1, 2) and all(part.isascii() and part.isdigit() for part in parts):
        sides = [int(part) for part in parts if len(part) < 7]
        if len(sides) == len(parts) and all(0 < side <= MAX_SIDE for side in sides):
            return sides[0], sides[-1]
    raise UsageError(f"size must be N or HxW with sides in 1..{MAX_SIDE}, got {text!r}")


def parse_clahe(text: str) -> tuple[float, int]:
    """`CLIP:TILES` as (clip_limit, tiles). Raises UsageError."""
    clip, _, tiles = text.partition(":")
    try:
        return float(clip), int(tiles)
    except ValueError:
        raise UsageError(f"CLAHE must be CLIP:TILES such as 2.0:8, got {text!r}") from None


def parse_window(text: str) -> str | tuple[float, float]:
    """`auto`, `none` or `CENTER:WIDTH` as (center, width). Raises UsageError."""
    if text in WINDOW_MODES:
        return text
    center, _, width = text.partition(":")
    try:
        return float(center), float(width)
    except ValueError:
        raise UsageError(
            f"a window must be auto, none or CENTER:WIDTH such as 40:400, got {text!r}"
        ) from None
