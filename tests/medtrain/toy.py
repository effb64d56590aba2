"""Tiny data sets for the tests: two classes that differ in brightness, as medprep stores them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from medprep import checksums
from medprep.shards import ShardReader

SPEC = {
    "steps": [
        {"step": "decode", "channels": "rgb"},
        {"step": "resize", "height": 32, "width": 32, "mode": "stretch", "interpolation": "area"},
    ],
    "dtype": "uint8",
}


def images_and_labels(count, *, seed, side=32, channels=3, classes=2):
    """Noise around a grey level that grows with the class; about a third overlap."""
    rng = np.random.default_rng(seed)
    labels = labels_for(count, classes)
    levels = 90 + 40 * labels[:, None, None, None] + rng.normal(0, 15, (count, 1, 1, 1))
    noise = rng.normal(0, 40, (count, side, side, channels))
    return np.clip(levels + noise, 0, 255).astype(np.uint8), labels


def labels_for(count, classes):
    return ((np.arange(count) * 7 % 11) % classes).astype(np.int64)


def make_shards(
    out: Path,
    *,
    counts=None,
    seed=0,
    side=32,
    channels=3,
    classes=("glaucoma", "normal"),
    shard_samples=16,
    labels_of=None,
    groups=False,
    images_of=None,
    fingerprint=None,
):
    """Write shards and a manifest.

    labels_of: split -> its labels (-1: none); images_of: split -> its images. Rows have their
    CRC-32C in records/, as medprep writes them.
    """
    counts = counts or {"train": 23, "val": 11, "test": 5}
    (out / "records").mkdir(parents=True)
    manifest = {
        "schema": 1,
        "classes": list(classes),
        "pipeline": SPEC,
        "fingerprint": fingerprint or hashlib.sha256(b"toy").hexdigest(),
        "image": {"height": side, "width": side, "channels": channels, "dtype": "uint8"},
        "channel_mean": [110.0] * channels,
        "channel_std": [45.0] * channels,
        "splits": {},
        "shards": [],
        "failed": 0,
        "layout": "folder",
        "seed": seed,
        "private": False,
    }
    for at, (split, count) in enumerate(counts.items()):
        if images_of and split in images_of:
            images, labels = images_of[split], labels_for(count, len(classes))
        else:
            images, labels = images_and_labels(
                count, seed=seed * 10 + at, side=side, channels=channels, classes=len(classes)
            )
        if labels_of and split in labels_of:
            labels = np.asarray(labels_of[split], np.int64)
        starts = range(0, count, shard_samples)
        for index, start in enumerate(starts):
            rows = slice(start, start + shard_samples)
            ids = [f"{split}/{i}.png" for i in range(count)[rows]]
            columns = {"images": images[rows], "labels": labels[rows], "ids": np.array(ids)}
            if groups:
                columns["group"] = np.array([f"p{i // 2}" for i in range(count)[rows]])
            name = f"{split}-{index:05}.npz"
            np.savez(out / name, **columns)
            record = {"rows": [{"crc32c": checksums.crc32c(image)} for image in images[rows]]}
            (out / "records" / f"{split}-{index:05}.json").write_text(json.dumps(record))
            data = (out / name).read_bytes()
            manifest["shards"].append(
                {
                    "name": name,
                    "split": split,
                    "index": index,
                    "count": len(ids),
                    "bytes": len(data),
                    "sha256": hashlib.sha256(data).hexdigest(),
                }
            )
        known = labels[labels >= 0]
        manifest["splits"][split] = {
            "samples": count,
            "shards": len(starts),
            "class_counts": np.bincount(known, minlength=len(classes)).tolist(),
            "unlabelled": int((labels < 0).sum()),
        }
    text = json.dumps([s["sha256"] for s in manifest["shards"]])
    manifest["digest"] = hashlib.sha256(text.encode()).hexdigest()
    (out / "manifest.json").write_text(json.dumps(manifest))
    return out


def flip_pixel(out: Path, split: str, row: int, *, shard_samples=16):
    """Change one pixel of a stored image in place: sizes and headers stay right."""
    path = out / f"{split}-{row // shard_samples:05}.npz"
    image = ShardReader(out, split)[row].image.tobytes()
    data = bytearray(path.read_bytes())
    data[data.find(image) + 7] ^= 0x10
    path.write_bytes(data)


def flip_bit(path: Path, at: int = -1):
    """Change one bit of a file in place."""
    data = bytearray(path.read_bytes())
    data[at] ^= 4
    path.write_bytes(data)


SMALL = {
    "model.name": "tiny_cnn",
    "train.epochs": 2,
    "train.threads": 1,
    "data.batch_size": 4,
    "data.evaluation_batch_size": 4,
    "train.log_every": 1,
}
"""Settings that make a run take about a second."""
EXACT = SMALL | {
    "model.norm": "group",
    "model.dropout": 0.0,
    "optim.name": "sgd",
    "optim.learning_rate": 0.05,
}
"""The conditions under which any number of processes trains the same weights (DESIGN 5)."""
