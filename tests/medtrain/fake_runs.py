"""Run folders that look like real ones: made from a seed, consistent with themselves.

metrics.json comes from the fake predictions through `medtrain.metrics`; curves end near them.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import yaml

from medtrain.metrics import classification, positive_class

TWO = ("NORMAL", "PNEUMONIA")
DIGEST = "9f2c41d07be85a63c1d2f4e5a6b7c8d9e0f1a2b3c4d5e6f708192a3b4c5d6e7f"
COMMIT = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


def predictions(generator, n, classes, *, skill=1.6, per_patient=None, labels=None):
    k = len(classes)
    if per_patient:
        patients = -(-n // per_patient)
        label_of = generator.integers(0, k, patients)
        shift = generator.normal(size=(patients, k)) * 0.7
        owner = np.repeat(np.arange(patients), per_patient)[:n]
        groups = np.array([f"g{i:05x}" for i in owner])
        labels, base = label_of[owner], shift[owner]
    else:
        groups, base = None, 0.0
        if labels is None:
            labels = (generator.random(n) < 0.63).astype(int) if k == 2 else None
        if labels is None:
            labels = generator.integers(0, k, n)
    logits = base + generator.normal(size=(n, k))
    logits[np.arange(n), labels] += skill
    return labels.astype(np.int64), logits.astype(np.float32), groups


def make_run(
    folder: Path,
    *,
    seed: int = 1,
    classes=TWO,
    epochs: int = 12,
    planned: int | None = None,
    state: str = "done",
    sizes=(4200, 520, 624),
    per_patient: int | None = 3,
    strategy: str = "serial",
    world_size: int = 1,
    threads: int = 4,
    precision: str = "fp32",
    images_per_s: float = 148.0,
    waiting: float = 0.06,
    digest: str = DIGEST,
    commit: str | None = COMMIT,
    batch_size: int = 32,
    model: str = "medical_cnn",
    gpu: str | None = None,
    splits=("val", "test"),
    skill: float = 1.6,
    labels=None,
    monitor: str = "loss",
) -> Path:
    """Write a run folder; state "running" leaves out the final metrics and predictions."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng([seed, zlib.crc32(folder.name.encode())])
    config = {
        "recipe": "pneumonia",
        "task": "classify",
        "seed": seed,
        "data": {"batch_size": batch_size, "evaluation_batch_size": 32, "augment": True},
        "model": {"name": model, "norm": "batch", "dropout": None},
        "optim": {"name": "adamw", "learning_rate": 0.001, "schedule": "cosine", "max_norm": 1.0},
        "train": {"epochs": planned or epochs, "accumulate": 1, "monitor": monitor},
        "metrics": {"positive_class": "auto"},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    environment = {
        "recipe": "pneumonia",
        "strategy": strategy,
        "precision": precision,
        "device": "cuda" if gpu else "cpu",
        "world_size": world_size,
        "nodes": 1,
        "threads": threads,
        "global_batch": batch_size * world_size,
        "batch_statistics": {"images": batch_size, "over": "one batch of one process"},
        "parameters": 4_832_130,
        "dataset": {
            "digest": digest,
            "manifest": "/data/pneumonia-shards/manifest.json",
            "samples": dict(zip(("train", "val", "test"), sizes, strict=True)),
        },
        "versions": {"python": "3.11.7", "medprep": "0.1.0", "torch": "2.15.0", "numpy": "2.4.6"},
        "machine": {
            "cores": 32,
            "cpu_model": "AMD EPYC 7543 32-Core Processor",
            "memory_gib": 251.6,
            "gpus": [gpu] * world_size if gpu else [],
            "system": "Linux-6.8.0-x86_64-with-glibc2.39",
        },
        "git_commit": commit,
        "command": ["medtrain", strategy, "--recipe", "pneumonia", "--data", "shards <a&b>"],
    }
    (folder / "environment.json").write_text(json.dumps(environment))
    results = {}
    for split, n in zip(("val", "test"), sizes[1:], strict=True):
        if split in splits:
            results[split] = _split(generator, n, classes, skill, per_patient, labels)
    events = [{"event": "start", **environment, "epoch": 0, "step": 0}]
    events += _curves(
        generator, epochs, planned or epochs, sizes, batch_size * world_size,
        images_per_s, waiting, results.get("val"),
    )  # fmt: skip
    if state == "done":
        events.append(_memory(strategy, world_size))
        _finish(folder, results, events)
    (folder / "records.jsonl").write_text("".join(json.dumps(e) + "\n" for e in events))
    message = {"stopped": "signal SIGTERM", "failed": "CUDA out of memory"}.get(state, "")
    status = {"state": state, "epoch": epochs, "epochs": planned or epochs, "message": message}
    (folder / "status.json").write_text(json.dumps(status))
    return folder


def _split(generator, n, classes, skill, per_patient, labels):
    labels, logits, groups = predictions(
        generator, n, classes, skill=skill, per_patient=per_patient, labels=labels
    )
    z = logits.astype(np.float64)
    log_sum = np.log(np.exp(z).sum(axis=1))
    loss = float(np.mean(log_sum - z[np.arange(n), labels])) if n else None
    metrics = classification(
        logits,
        labels,
        groups,
        classes=classes,
        positive_class=positive_class(classes),
        loss=loss,
        seed=0,
    )
    return {"labels": labels, "logits": logits, "groups": groups, "metrics": metrics}


def _curves(generator, epochs, planned, sizes, batch, images_per_s, waiting, val):
    steps = -(-sizes[0] // batch)
    final = val["metrics"] if val else {}
    events = []
    for epoch in range(1, epochs + 1):
        t = epoch / max(planned, 2)
        decay = float(np.exp(-3.2 * t))
        for i in range(1, 6):
            step = (epoch - 1) * steps + i * steps // 5
            events.append(
                {
                    "event": "step",
                    "epoch": epoch,
                    "step": step,
                    "loss": 0.25 + 0.5 * decay + 0.05 * generator.normal(),
                    "grad_norm": float(abs(1.2 + 0.4 * generator.normal())),
                    "learning_rate": 0.0005 * (1 + np.cos(np.pi * step / (steps * planned))),
                    "images_per_s": images_per_s,
                    "data_seconds": 0.1,
                }
            )
        speed = images_per_s * (0.72 if epoch == 1 else 1 + 0.02 * generator.normal())
        seconds = sizes[0] / speed
        row = {
            "event": "epoch",
            "epoch": epoch,
            "step": epoch * steps,
            "train": {
                "loss": 0.22 + 0.5 * decay + 0.01 * generator.normal(),
                "accuracy": 0.93 - 0.25 * decay + 0.006 * generator.normal(),
                "images_per_s": speed,
                "seconds": seconds,
                "data_seconds": seconds * waiting * (1 + 0.3 * generator.random()),
            },
            "val": None,
            "learning_rate": 0.0005 * (1 + float(np.cos(np.pi * t))),
        }
        if val:
            drift = 0.12 * max(0.0, t - 0.65)
            noise = 0.012 * generator.normal()
            row["val"] = {
                "loss": (final["loss"] or 0.5) + 0.35 * decay + drift + abs(noise),
                "accuracy": _toward(final["accuracy"], 0.2 * decay + abs(noise)),
                "auroc": _toward(final["auroc"], 0.2 * decay + abs(noise)),
            }
        events.append(row)
    return events


def _toward(value, gap):
    return None if value is None else max(0.0, value - gap)


def _memory(strategy, world_size):
    share = 1 / world_size if strategy in ("fsdp", "pipeline") else 1
    weights = int(4 * 4_832_130 * share)
    held = {"parameter_bytes": weights, "gradient_bytes": weights, "optimizer_bytes": 2 * weights}
    return {"event": "memory", **held, "peak_bytes": 4 * weights + 2**28}


def _finish(folder, results, events):
    metrics = {split: result["metrics"] for split, result in results.items()}
    (folder / "metrics.json").write_text(json.dumps(metrics, allow_nan=False))
    for split, result in results.items():
        n = result["labels"].size
        members = {
            "ids": np.array([f"{split}/{i:06}.png" for i in range(n)], dtype="U"),
            "labels": result["labels"],
            "logits": result["logits"],
        }
        if result["groups"] is not None:
            members["groups"] = result["groups"]
        np.savez(folder / f"predictions-{split}.npz", **members)
        events.append({"event": "evaluation", "split": split, "checkpoint": "best"})
    losses = {e["epoch"]: e["val"]["loss"] for e in events if e["event"] == "epoch" and e["val"]}
    events.append(
        {"event": "end", "state": "done", "best_epoch": min(losses, key=losses.get)}
        if losses
        else {"event": "end", "state": "done"}
    )
