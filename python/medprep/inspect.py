"""What a finished data set holds: one JSON-ready summary, its text, and the sheet's pictures."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medprep.errors import VerificationError
from medprep.manifest import Manifest
from medprep.shards import ShardReader
from medprep.types import Sample

FAILURES_FILE = "failures.jsonl"
MIB = 2**20
SHOWN_FAILURES = 20
UNLABELLED_NAME = "(no label)"


def summarise(out: Path) -> dict[str, Any]:
    """Summarise OUT from its manifest, its shards' labels and groups, and its failures.

    Image data is not read, so this is quick for any size; `medprep verify` checks every byte.
    Raises UsageError or VerificationError as ShardReader does.
    """
    reader = ShardReader(out)
    manifest = reader.manifest
    groups = _groups_by_split(out, list(manifest.splits))
    known = [names for names in groups.values() if names is not None]
    failures = list(read_failures(out))
    return {
        "out": str(out),
        "digest": manifest.digest,
        "samples": manifest.samples,
        "classes": list(manifest.classes),
        "splits": {
            name: {
                "samples": split.samples,
                "shards": split.shards,
                "classes": dict(zip(manifest.classes, split.class_counts, strict=True)),
                "unlabelled": split.unlabelled,
                "groups": None if (names := groups[name]) is None else len(names),
            }
            for name, split in manifest.splits.items()
        },
        "image": manifest.image.to_json(),
        "channel_mean": list(manifest.channel_mean),
        "channel_std": list(manifest.channel_std),
        "pipeline": dict(manifest.pipeline),
        "fingerprint": manifest.fingerprint,
        "groups": len(set().union(*known)) if known else None,
        "shards": len(manifest.shards),
        "bytes": sum(shard.bytes for shard in manifest.shards),
        "boxes": _boxes(manifest),
        "captions": manifest.captions,
        "failed": manifest.failed,
        "failures_by_stage": dict(Counter(failure["stage"] for failure in failures)),
        "failures": failures[:SHOWN_FAILURES],
        "layout": manifest.layout,
        "seed": manifest.seed,
        "private": manifest.private,
    }


def _boxes(manifest: Manifest) -> dict[str, Any] | None:
    if manifest.box_classes is None:
        return None
    return {
        "stored": manifest.boxes,
        "dropped": manifest.boxes_dropped,
        "classes": list(manifest.box_classes),
    }


def _groups_by_split(out: Path, splits: list[str]) -> dict[str, set[str] | None]:
    """The different groups (patients) of each split; None where nothing is grouped."""
    found: dict[str, set[str] | None] = {}
    for split in splits:
        groups = ShardReader(out, split).groups
        found[split] = None if groups is None else set(groups.tolist()) - {""}
    return found


def read_failures(out: Path) -> Iterator[dict[str, str]]:
    """Lines of OUT/failures.jsonl as path (keyed id in private mode), stage, reason."""
    path = out / FAILURES_FILE
    if not path.is_file():
        return
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                failure = json.loads(line)
                name = failure.get("path") or failure.get("id") or ""
                yield {"path": name, "stage": failure["stage"], "reason": failure["reason"]}
            except (ValueError, KeyError, AttributeError) as error:
                raise VerificationError(
                    f"{path}:{number}: not a failure record: {error}", path=str(path)
                ) from None


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One sample on the contact sheet: its identity and its reduced image (H, W, 1 or 3) uint8.

    boxes: (M, 5) in the pixels of `view`, the (height, width) of the stored image that is shown.
    """

    id: str
    split: str
    class_name: str
    pixels: np.ndarray
    view: tuple[int, int] = (1, 1)
    boxes: np.ndarray | None = None
    caption: str | None = None


def choose_pictures(out: Path, *, per_class: int, side: int) -> list[Picture]:
    """Pick samples of every class, evenly over the plan order, reduced to at most `side` pixels.

    The plan order is shuffled, so even steps show a fair selection; the same data set gives the
    same pictures. Unlabelled samples come last, under their own name.
    """
    reader = ShardReader(out)
    names = dict(enumerate(reader.manifest.classes)) | {-1: UNLABELLED_NAME}
    labels = reader.labels
    pictures = []
    for label, name in names.items():
        members = np.flatnonzero(labels == label)
        steps = np.linspace(0, len(members) - 1, min(per_class, len(members)))
        for index in members[steps.astype(int)]:
            pictures.append(_picture(reader[int(index)], name, side))
    return pictures


def _picture(sample: Sample, class_name: str, side: int) -> Picture:
    pixels = reduce_image(sample.image, side)
    height, width = sample.image.shape[:2]
    factor = max(1, -(-max(height, width) // side))
    # Whole blocks only: the rest at the right and below is not shown.
    view = tuple(
        shown * min(factor, stored)
        for shown, stored in zip(pixels.shape[:2], (height, width), strict=True)
    )
    return Picture(
        id=sample.id,
        split=sample.split,
        class_name=class_name,
        pixels=pixels,
        view=(view[0], view[1]),
        boxes=sample.boxes,
        caption=sample.caption,
    )


def reduce_image(image: np.ndarray, side: int) -> np.ndarray:
    """Shrink by a whole factor (mean of blocks) until neither side exceeds `side`.

    image: (H, W, C). Returns uint8; other types are first stretched from their own range.
    """
    if image.dtype != np.uint8:
        low, high = float(image.min()), float(image.max())
        image = (image.astype(np.float64) - low) * (255.0 / max(high - low, 1e-12))
    factor = -(-max(image.shape[:2]) // side)
    if factor <= 1:
        return image.astype(np.uint8)
    height, width = (max(1, n // factor) for n in image.shape[:2])
    rows, cols = min(factor, image.shape[0]), min(factor, image.shape[1])
    blocks = image[: height * rows, : width * cols].reshape(height, rows, width, cols, -1)
    reduced: np.ndarray = np.rint(blocks.mean(axis=(1, 3))).astype(np.uint8)
    return reduced


def render(summary: dict[str, Any]) -> str:
    """Say the summary in words and one table."""
    image = summary["image"]
    shape = f"{image['height']}×{image['width']}×{image['channels']} {image['dtype']}"
    facts = [
        ("data set", summary["out"]),
        ("digest", summary["digest"]),
        ("samples", f"{summary['samples']}, each {shape}"),
        ("shards", f"{summary['shards']}, {summary['bytes'] / MIB:.1f} MiB"),
        ("mean / std", channel_text(summary)),
        ("pipeline", pipeline_text(summary["pipeline"])),
        ("made from", origin_text(summary)),
        ("failed", failures_text(summary)),
    ]
    if summary["boxes"] is not None or summary["captions"] is not None:
        facts.insert(-1, ("annotated", annotations_text(summary)))
    lines = [f"{name:<11} {text}" for name, text in facts]
    return "\n".join([*lines, "", *_table_lines(class_table(summary))])


def class_table(summary: dict[str, Any]) -> list[list[str]]:
    """Counts as rows of text: a header, a row for each split, and a total of several."""
    names = list(summary["classes"])
    splits = summary["splits"]
    unlabelled = any(split["unlabelled"] for split in splits.values())
    grouped = any(split["groups"] is not None for split in splits.values())
    header = ["split", *names, *(["no label"] if unlabelled else []), "samples", "shards"]
    rows = [header + (["groups"] if grouped else [])]
    counts: list[list[int | None]] = []
    for name, split in splits.items():
        row = [split["classes"][c] for c in names]
        row += [split["unlabelled"]] if unlabelled else []
        row += [split["samples"], split["shards"]]
        row += [split["groups"]] if grouped else []
        counts.append(row)
        rows.append([name, *("–" if n is None else str(n) for n in row)])
    if len(splits) > 1:
        totals = [sum(n or 0 for n in column) for column in zip(*counts, strict=True)]
        if grouped:
            totals[-1] = summary["groups"]  # a group in two splits is one group
        rows.append(["all", *(str(n) for n in totals)])
    return rows


def _table_lines(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if k == 0 else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def channel_text(summary: dict[str, Any]) -> str:
    """Mean and standard deviation of each channel in grey levels."""
    pairs = zip(summary["channel_mean"], summary["channel_std"], strict=True)
    return ", ".join(f"{mean:.1f} ± {std:.1f}" for mean, std in pairs)


def pipeline_text(pipeline: dict[str, Any]) -> str:
    """The steps in one line: `decode rgb → resize 224×224 stretch area → ...`."""
    return " → ".join(_step_text(step) for step in pipeline.get("steps", ()))


def _step_text(step: dict[str, Any]) -> str:
    values = {key: value for key, value in step.items() if key != "step"}
    words = [str(step.get("step", "?"))]
    if "height" in values and "width" in values:
        words.append(f"{values.pop('height')}×{values.pop('width')}")
    for key, value in values.items():
        words.append(str(value) if isinstance(value, str) else f"{key.replace('_', ' ')} {value}")
    # the step's own name repeated (`gamma gamma 1.2`) says nothing
    return " ".join(words).replace("gamma gamma", "gamma")


def origin_text(summary: dict[str, Any]) -> str:
    """Layout, seed and privacy."""
    privacy = "private (keyed ids, no paths)" if summary["private"] else "ids are relative paths"
    return f"layout {summary['layout']}, seed {summary['seed']}, {privacy}"


def annotations_text(summary: dict[str, Any]) -> str:
    """Boxes with their classes, and captions: `412 boxes (opacity), 3 dropped; 90 captions`."""
    parts = []
    if (boxes := summary["boxes"]) is not None:
        names = f" ({', '.join(boxes['classes'])})" if boxes["classes"] else ""
        dropped = f", {boxes['dropped']} cut away by the crop" if boxes["dropped"] else ""
        parts.append(f"{boxes['stored']} boxes{names}{dropped}")
    if summary["captions"] is not None:
        parts.append(f"{summary['captions']} captions")
    return "; ".join(parts)


def failures_text(summary: dict[str, Any]) -> str:
    """How many inputs failed, and at which stage."""
    stages = ", ".join(f"{n} at {name}" for name, n in summary["failures_by_stage"].items())
    return f"{summary['failed']}" + (f" ({stages}; see {FAILURES_FILE})" if stages else "")
