"""Each option once: the same name, help and default in every verb that has it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from medprep.errors import UsageError
from medprep.options import DataOptions, parse_bytes
from medprep.pipeline import DTYPES, PRESETS, Overrides, parse_clahe, parse_size, parse_window
from medprep.sources import LAYOUT_NAMES
from medprep.split import DEFAULT_RATIOS, parse_split
from medprep.steps import INTERPOLATIONS, RESIZE_MODES

Command = TypeVar("Command", bound=Callable[..., Any])
_FILE = click.Path(dir_okay=False, path_type=Path)


class Words(click.ParamType[object]):
    """A value with its own small grammar; `parse` raises UsageError."""

    def __init__(self, name: str, parse: Callable[[str], object]) -> None:
        self.name = name
        self._parse = parse

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> object:
        """The finished value; `parse` says itself what it expected."""
        return self._parse(value) if isinstance(value, str) else value


def _checked_split(text: str) -> str:
    parse_split(text)
    return text


def parse_part(text: str) -> tuple[int, int]:
    """`I/N` as (I, N). Raises UsageError."""
    index, _, count = text.partition("/")
    if not (index.strip().lstrip("-").isdigit() and count.strip().isdigit()):
        raise UsageError(f"a part must be I/N such as 0/8, got {text!r}")
    return int(index), int(count)


src_argument = click.argument("src", type=click.Path(path_type=Path))
out_argument = click.argument("out", type=click.Path(path_type=Path))
threads_option = click.option(
    "--threads", type=click.IntRange(1), help="Threads (dask: local processes). Default: all cores."
)

_DATA_OPTIONS = (
    click.option(
        "--layout", metavar="NAME", help=f"How SRC is read [auto]: {', '.join(LAYOUT_NAMES[1:])}."
    ),
    click.option("--preset", metavar="|".join(PRESETS), help="Steps by name [plain]."),
    click.option("--steps", type=_FILE, help="Steps from a YAML or JSON file."),
    click.option(
        "--size",
        metavar="224|HxW",
        type=Words("224|HxW", parse_size),
        help="Target size in pixels.",
    ),
    click.option(
        "--window",
        metavar="auto|none|CENTER:WIDTH",
        type=Words("auto|none|CENTER:WIDTH", parse_window),
        help="Grey values of DICOM and 16-bit files to grey levels [auto for DICOM].",
    ),
    click.option(
        "--frames", type=click.Choice(("first", "middle", "all")), help="Of DICOM [middle]."
    ),
    click.option("--resize", type=click.Choice(RESIZE_MODES), help="What becomes of the shape."),
    click.option("--interpolation", type=click.Choice(INTERPOLATIONS), help="As OpenCV's."),
    click.option(
        "--clahe",
        metavar="CLIP:TILES",
        type=Words("CLIP:TILES", parse_clahe),
        help="Local contrast, e.g. 2.0:8.",
    ),
    click.option("--no-clahe", is_flag=True, help="Leave CLAHE out of the preset."),
    click.option("--gamma", type=float, metavar="G", help="G > 1 brightens."),
    click.option("--median", type=int, metavar="3", help="Median filter of size 3."),
    click.option("--dtype", type=click.Choice(DTYPES), help="Type of the stored pixels [uint8]."),
    click.option(
        "--fast-decode",
        is_flag=True,
        default=None,
        help="Decode JPEGs at 1/2, 1/4 or 1/8 where the size allows it: not exact.",
    ),
    click.option(
        "--split",
        metavar="folder|NAME=SHARE,...",
        type=Words("folder|NAME=SHARE,...", _checked_split),
        help=f"Who goes where [SRC's own split, else {DEFAULT_RATIOS}].",
    ),
    click.option(
        "--group-by", metavar="auto|none|COLUMN", help="What must not cross splits [auto]."
    ),
    click.option("--unlabelled", metavar="NAME", help="This class gets label -1."),
    click.option("--seed", type=int, help="Seed of split and order [0]."),
    click.option(
        "--shard-size",
        metavar="256MiB",
        type=Words("256MiB", parse_bytes),
        help="Bytes per shard [256MiB].",
    ),
    click.option("--shard-samples", type=int, metavar="N", help="Samples per shard instead."),
    click.option("--compress", type=click.Choice(("none", "deflate")), help="[none]"),
    click.option(
        "--on-damage",
        type=click.Choice(("skip", "keep")),
        help="Damaged JPEGs: quarantine, or keep what decodes [skip].",
    ),
    click.option(
        "--private/--keep-paths",
        "private",
        default=None,
        help="Keyed ids, or relative paths, in OUT [--private for DICOM and sets with patients].",
    ),
    click.option(
        "--keep-captions", is_flag=True, help="With --private: store captions, which are free text."
    ),
    click.option(
        "--private-map", type=_FILE, help="Write id -> path here (mode 600, outside OUT)."
    ),
    click.option(
        "--key-file", type=_FILE, help="Key of the ids; made if absent [medprep.key beside OUT]."
    ),
)
_OVERRIDES = (
    "size", "window", "frames", "resize", "interpolation", "gamma", "median", "dtype",
    "fast_decode",
)  # fmt: skip


def data_options(command: Command) -> Callable[..., Any]:
    """Add every option that shapes the output; passed as `data: DataOptions`."""

    @functools.wraps(command)
    def with_data(clahe: Any, no_clahe: bool, **arguments: Any) -> object:  # noqa: ANN401
        if clahe is not None and no_clahe:
            raise UsageError("--clahe and --no-clahe exclude each other")
        overrides = Overrides(
            clahe=False if no_clahe else clahe,
            **{name: arguments.pop(name) for name in _OVERRIDES},
        )
        names = [name for name in DataOptions.__dataclass_fields__ if name != "overrides"]
        data = DataOptions(overrides=overrides, **{name: arguments.pop(name) for name in names})
        return command(data=data, **arguments)

    wrapped: Callable[..., Any] = with_data
    for option in reversed(_DATA_OPTIONS):
        wrapped = option(wrapped)
    return wrapped
