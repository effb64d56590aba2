"""`OUT/manifest.json`: what a finished data set holds, and how to know that it still does.

The manifest is written last, so its presence means that every shard it names was whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medprep.errors import UsageError, VerificationError
from medprep.types import ImageShape, JsonObject

FILE_NAME = "manifest.json"
SCHEMA = 1
_SHARD_NAME = re.compile(r"[A-Za-z0-9_]+-\d{5,}\.npz")
_MAX_BYTES = 256 * 2**20  # 10^6 shards of ~200 bytes; a longer file is not one of ours


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardEntry:
    """One shard file: its name in OUT, place in its split, rows, size and SHA-256."""

    name: str
    split: str
    index: int
    count: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitEntry:
    """Counts of one split; `class_counts` follows the order of `Manifest.classes`."""

    samples: int
    shards: int
    class_counts: tuple[int, ...]
    unlabelled: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A finished data set.

    digest: Merkle root over the samples in plan order; the same for any engine, kernel, number
    of threads or parts, interrupted or not.
    pipeline: the pipeline specification as JSON; `fingerprint` is its SHA-256.
    channel_mean, channel_std: one per channel, grey levels 0..255, over the train split.
    splits, shards: in plan order.
    box_classes: what the labels of boxes mean; None when the data set has no boxes.
    boxes, boxes_dropped: stored ones, and those that a crop left nothing of; None without boxes.
    captions: images that have one; None when the data set has no captions.
    fast_decode: the measured error of a fast decode (see `fast_decode.measure`); None if exact.
    """

    digest: str
    classes: tuple[str, ...]
    pipeline: Mapping[str, Any]
    fingerprint: str
    image: ImageShape
    channel_mean: tuple[float, ...]
    channel_std: tuple[float, ...]
    splits: Mapping[str, SplitEntry]
    shards: tuple[ShardEntry, ...]
    failed: int
    layout: str
    seed: int
    private: bool
    box_classes: tuple[str, ...] | None = None
    boxes: int | None = None
    boxes_dropped: int | None = None
    captions: int | None = None
    fast_decode: Mapping[str, Any] | None = None

    @property
    def samples(self) -> int:
        """Samples over all splits."""
        return sum(split.samples for split in self.splits.values())

    def to_json(self) -> JsonObject:
        """The object as it stands in the file; `from_json` reads it back."""
        return {
            "schema": SCHEMA,
            "digest": self.digest,
            "classes": list(self.classes),
            "pipeline": dict(self.pipeline),
            "fingerprint": self.fingerprint,
            "image": self.image.to_json(),
            "channel_mean": list(self.channel_mean),
            "channel_std": list(self.channel_std),
            "splits": {
                name: {
                    "samples": split.samples,
                    "shards": split.shards,
                    "class_counts": list(split.class_counts),
                    "unlabelled": split.unlabelled,
                }
                for name, split in self.splits.items()
            },
            "shards": [
                {
                    "name": shard.name,
                    "split": shard.split,
                    "index": shard.index,
                    "count": shard.count,
                    "bytes": shard.bytes,
                    "sha256": shard.sha256,
                }
                for shard in self.shards
            ],
            "failed": self.failed,
            "layout": self.layout,
            "seed": self.seed,
            "private": self.private,
            **self._optional_json(),
        }

    def _optional_json(self) -> JsonObject:
        """What only some data sets have."""
        found: JsonObject = {}
        if self.box_classes is not None:
            found["box_classes"] = list(self.box_classes)
            found |= {"boxes": self.boxes, "boxes_dropped": self.boxes_dropped}
        if self.captions is not None:
            found["captions"] = self.captions
        if self.fast_decode is not None:
            found["fast_decode"] = dict(self.fast_decode)
        return found


def load(out: str | Path) -> Manifest:
    """Read and check OUT/manifest.json.

    Raises UsageError when there is none (with what to do) and VerificationError when it is
    damaged, of another schema, or contradicts itself.
    """
    path = Path(out) / FILE_NAME
    return parse(_read(path), str(path))


def parse(text: str, name: str) -> Manifest:
    """Check the text of a manifest; `name` is the file that messages blame."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise VerificationError(f"{name}: not valid JSON: {error}", path=name) from None
    if not isinstance(data, dict):
        raise VerificationError(f"{name}: expected a JSON object", path=name)
    if data.get("schema") != SCHEMA:
        raise VerificationError(
            f"{name}: manifest schema {data.get('schema')!r}; this build reads schema {SCHEMA}",
            path=name,
            hint="use the medprep version that wrote it, or make the shards again",
        )
    try:
        manifest = from_json(data)
        _check(manifest)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        what = f"missing key {error}" if isinstance(error, KeyError) else str(error)
        raise VerificationError(f"{name}: damaged manifest: {what}", path=name) from None
    return manifest


def from_json(data: Mapping[str, Any]) -> Manifest:
    """The manifest from its JSON object; raises KeyError, TypeError or ValueError if it is none."""
    return Manifest(
        digest=_text(data["digest"]),
        classes=tuple(_text(name) for name in data["classes"]),
        pipeline=dict(data["pipeline"]),
        fingerprint=_text(data["fingerprint"]),
        image=ImageShape(
            height=_count(data["image"]["height"]),
            width=_count(data["image"]["width"]),
            channels=_count(data["image"]["channels"]),
            dtype=_text(data["image"]["dtype"]),
        ),
        channel_mean=tuple(float(value) for value in data["channel_mean"]),
        channel_std=tuple(float(value) for value in data["channel_std"]),
        splits={
            _text(name): SplitEntry(
                samples=_count(split["samples"]),
                shards=_count(split["shards"]),
                class_counts=tuple(_count(value) for value in split["class_counts"]),
                unlabelled=_count(split["unlabelled"]),
            )
            for name, split in data["splits"].items()
        },
        shards=tuple(
            ShardEntry(
                name=_text(shard["name"]),
                split=_text(shard["split"]),
                index=_count(shard["index"]),
                count=_count(shard["count"]),
                bytes=_count(shard["bytes"]),
                sha256=_text(shard["sha256"]),
            )
            for shard in data["shards"]
        ),
        failed=_count(data["failed"]),
        layout=_text(data["layout"]),
        seed=int(data["seed"]),
        private=bool(data["private"]),
        **_optional(data),
    )


def _optional(data: Mapping[str, Any]) -> JsonObject:
    found: JsonObject = {}
    if "box_classes" in data:
        found["box_classes"] = tuple(_text(name) for name in data["box_classes"])
        found |= {key: _count(data[key]) for key in ("boxes", "boxes_dropped")}
    if "captions" in data:
        found["captions"] = _count(data["captions"])
    if "fast_decode" in data:
        found["fast_decode"] = dict(data["fast_decode"])
    return found


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise VerificationError(f"{path}: too large for a manifest", path=str(path))
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(
            f"{path}: no manifest, so this is no finished data set",
            path=str(path),
            hint=_missing_hint(path.parent),
        ) from None
    except UnicodeDecodeError as error:
        raise VerificationError(f"{path}: not UTF-8 text: {error}", path=str(path)) from None
    except OSError as error:
        raise UsageError(
            f"{path}: cannot read the manifest: {error.strerror}", path=str(path)
        ) from None


def _missing_hint(out: Path) -> str:
    if (out / "plan.json").exists():
        return (
            "the run has not finished: run the same `medprep shard` command again, "
            f"or `medprep merge {out}` when all parts are done"
        )
    return "name a folder made by `medprep shard SRC OUT`"


def _check(manifest: Manifest) -> None:
    """What follows from the format: names stay in OUT and counts add up."""
    channels = manifest.image.channels
    if len(manifest.channel_mean) != channels or len(manifest.channel_std) != channels:
        raise ValueError(f"channel_mean and channel_std must hold {channels} values")
    for shard in manifest.shards:
        if not _SHARD_NAME.fullmatch(shard.name):
            raise ValueError(f"shard name {shard.name!r} is not of the form split-00000.npz")
        if shard.split not in manifest.splits:
            raise ValueError(f"shard {shard.name} is in the unknown split {shard.split!r}")
    for name, split in manifest.splits.items():
        if len(split.class_counts) != len(manifest.classes):
            raise ValueError(f"split {name}: class_counts must hold {len(manifest.classes)} values")
        rows = sum(shard.count for shard in manifest.shards if shard.split == name)
        if rows != split.samples or sum(split.class_counts) + split.unlabelled != rows:
            raise ValueError(f"split {name}: {split.samples} samples, but its shards hold {rows}")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, found {value!r}")
    return value


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError(f"expected a whole number >= 0, found {value!r}")
    return value
