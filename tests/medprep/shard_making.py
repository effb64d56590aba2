"""Made-up shards, sources and plans for the tests of the core."""

from __future__ import annotations

import hashlib
import json
import socket
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from medprep import _core

SPEC = {
    "steps": [
        {"step": "decode", "channels": "rgb"},
        {
            "step": "resize",
            "height": 16,
            "width": 24,
            "mode": "stretch",
            "interpolation": "linear",
        },
        {"step": "gamma", "gamma": 1.2},
        {"step": "median", "size": 3},
    ],
    "dtype": "uint8",
}
IMAGE = {"height": 16, "width": 24, "channels": 3, "dtype": "uint8"}


def planned_shard(count: int) -> dict[str, Any]:
    return {"name": "train-00000", "split": "train", "index": 0, "offset": 0, "count": count}


def images(count: int, *, height: int = 16, width: int = 24, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(7).integers(
        0, 256, (count, height, width, channels), dtype=np.uint8
    )


def sample(row: int) -> dict[str, Any]:
    name = f"a/é{row}.png"
    return {"id": name, "path": name, "label": row - 1, "split": "train", "group": f"g{row}"}


def write_shard(out: Path, count: int = 5, **options: Any) -> dict[str, Any]:
    """One shard of `images(count)` and a failure; returns its record."""
    options = {"id_width": 12, "group_width": 3, **options}
    writer = _core.ShardWriter(
        str(out),
        json.dumps(planned_shard(count + 1)),
        json.dumps(IMAGE),
        fingerprint="f" * 64,
        samples_sha256="5" * 64,
        **options,
    )
    for row, image in enumerate(images(count)):
        writer.append(json.dumps(sample(row)), image)
    writer.fail("a/bad.png", "a/bad.png", "decode", "cannot decode PNG: empty")
    record: dict[str, Any] = json.loads(writer.finish())
    return record


def png(image: np.ndarray) -> bytes:
    """A PNG of (H, W, 3) uint8, written by hand: independent of what is tested."""
    height, width, _ = image.shape
    rows = b"".join(b"\0" + row.tobytes() for row in image)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def make_source(root: Path, count: int, *, side: int = 40, bad: tuple[int, ...] = ()) -> None:
    root.mkdir(parents=True)
    for number, image in enumerate(images(count, height=side, width=side + 3)):
        data = png(image)
        (root / f"{number:04}.png").write_bytes(data[:60] if number in bad else data)


def make_job(
    root: Path, out: Path, count: int, per_shard: int, *, files: int = 10**4, **options: Any
) -> dict[str, Any]:
    """Plan the source's images and return the job that makes their shards.

    files: how many there are, when samples shall share them.
    """
    out.mkdir(parents=True, exist_ok=True)
    text, shards = b"", []
    for index, first in enumerate(range(0, count, per_shard)):
        rows = range(first, min(first + per_shard, count))
        name = f"train-{index:05}"
        shards.append(
            {
                "name": name,
                "split": "train",
                "index": index,
                "offset": len(text),
                "count": len(rows),
            }
        )
        for row in rows:
            path = f"{row % files:04}.png"
            line = {
                "id": f"{row:04}.png",
                "path": path,
                "label": row % 2,
                "split": "train",
                "group": None,
            }
            text += json.dumps(line).encode() + b"\n"
    (out / "plan-samples.jsonl").write_bytes(text)
    shared = {"spec": SPEC, "image": IMAGE, "samples_sha256": hashlib.sha256(text).hexdigest()}
    plan = {
        "schema": 1,
        "layout": "files",
        "classes": ["a", "b"],
        "splits": ["train"],
        "seed": 0,
        "private": False,
        "fingerprint": _core.fingerprint(json.dumps(SPEC)),
        "shards": shards,
        "failures": [],
        **shared,
    }
    (out / "plan.json").write_text(json.dumps(plan))
    return {
        "root": str(root),
        "out": str(out),
        "plan_samples": str(out / "plan-samples.jsonl"),
        "shards": shards,
        "threads": 2,
        **shared,
        **options,
    }


def run(job: dict[str, Any]) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(_core.run_shards(json.dumps(job), _core.StopFlag()))
    return report


def outputs(out: Path) -> dict[str, bytes]:
    """Every file of OUT by its relative name, the plan left out."""
    files = (path for path in sorted(out.rglob("*")) if path.is_file())
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in files
        if not path.name.startswith("plan")
    }


def dead_temp_name(final: str) -> str:
    return f".{final}.tmp-{socket.gethostname()}-{1 << 30}-0123456789abcdef"
