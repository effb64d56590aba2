"""What a user may choose for a data set: the same words as the flags of `medprep shard`.

Everything here shapes the output, so a rerun must repeat it; None means "not said".
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from medprep import pipeline
from medprep.errors import UsageError
from medprep.pipeline import PipelineSpec
from medprep.split import parse_split
from medprep.types import ImageShape

DEFAULT_SHARD_BYTES = 256 * 2**20
COMPRESSIONS = ("none", "deflate")
ON_DAMAGE = ("skip", "keep")
_ROW_OVERHEAD = 192  # bytes beside the pixels: label, id, group


@dataclass(frozen=True, slots=True, kw_only=True)
class DataOptions:
    """Layout, pipeline, split, shards and privacy of one data set.

    private: True for keyed ids, False for relative paths; None for the layout's default.
    keep_captions: True stores captions in private mode too.
    key_file: where the key is or shall be made; private_map: where id -> path is written.
    """

    layout: str | None = None
    preset: str | None = None
    steps: Path | None = None
    overrides: pipeline.Overrides = pipeline.Overrides()  # noqa: RUF009 (frozen)
    split: str | None = None
    group_by: str | None = None
    unlabelled: str | None = None
    seed: int | None = None
    shard_size: int | None = None
    shard_samples: int | None = None
    compress: str | None = None
    on_damage: str | None = None
    private: bool | None = None
    keep_captions: bool = False
    key_file: Path | None = None
    private_map: Path | None = None

    def __post_init__(self) -> None:
        if self.preset is not None and self.steps is not None:
            raise UsageError("--preset and --steps exclude each other")
        if self.shard_size is not None and self.shard_samples is not None:
            raise UsageError("--shard-size and --shard-samples exclude each other")
        for name, value in (("shard-size", self.shard_size), ("shard-samples", self.shard_samples)):
            if value is not None and value < 1:
                raise UsageError(f"--{name} must be at least 1, got {value}")
        if self.compress not in (None, *COMPRESSIONS):
            raise UsageError(f"--compress must be none or deflate, got {self.compress!r}")
        if self.on_damage not in (None, *ON_DAMAGE):
            raise UsageError(f"--on-damage must be skip or keep, got {self.on_damage!r}")
        if self.private is False and self.private_map is not None:
            raise UsageError("--private-map needs --private: with --keep-paths ids are paths")
        if self.seed is not None and not 0 <= self.seed < 2**63:
            raise UsageError(f"--seed must be in 0..2^63-1, got {self.seed}")
        if self.split is not None:
            parse_split(self.split)

    @property
    def is_default(self) -> bool:
        """True when nothing that shapes the output was said, so that an existing plan decides."""
        beside = ("key_file", "private_map")
        empty = DataOptions()
        return all(
            getattr(self, field.name) == getattr(empty, field.name)
            for field in fields(self)
            if field.name not in beside
        )

    def pipeline(self) -> PipelineSpec:
        """Preset or steps file with the other flags put in. Raises UsageError or SpecError."""
        if self.steps is not None:
            base = pipeline.from_file(self.steps)
        else:
            base = pipeline.preset(self.preset or pipeline.DEFAULT_PRESET)
        return self.overrides.apply(base)

    @property
    def wanted_shard_bytes(self) -> int | None:
        """Bytes of a shard; None where a number of samples is asked for instead."""
        return None if self.shard_samples is not None else self.shard_size or DEFAULT_SHARD_BYTES

    def rows_per_shard(self, image: ImageShape) -> int:
        """How many samples fit a shard of the size asked for."""
        if self.shard_samples is not None:
            return self.shard_samples
        size = self.shard_size or DEFAULT_SHARD_BYTES
        return max(1, size // (image.bytes + _ROW_OVERHEAD))


def parse_bytes(text: str) -> int:
    """`256MiB`, `1GiB`, `500MB` or plain bytes. Raises UsageError."""
    units = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9}
    units |= {"": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30}
    number = text.strip().lower().rstrip("kmgib ")
    unit = text.strip().lower()[len(number) :].strip()
    if unit in units and number.replace(".", "", 1).isdigit() and len(number) < 20:
        return int(float(number) * units[unit])
    raise UsageError(f"size in bytes must look like 256MiB or 500MB, got {text!r}")
