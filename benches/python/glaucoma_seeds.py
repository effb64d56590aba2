"""What MedicalCNN learns from real fundus photographs, beside what image width alone gives.

    python benches/python/glaucoma_seeds.py ../shared/data/fundus --seeds 1,2,3

Shards the class folders with the `glaucoma` preset, trains `medtrain ddp --procs 2` once a seed
(same split, other weights, order and augmentation), and prints the test AUROC of each seed, their
median with a bootstrap interval over the test images, and the AUROC of image width on the same
split (direction fixed on train). Runs and shards are kept in --out, so a second call resumes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import medprep
from medprep import _core
from medprep.machine import cpu_model
from medtrain.metrics import single_feature_auroc
from medtrain.metrics.ranking import auroc

RESAMPLES = 2000


def train(shards: Path, out: Path, seed: int, arguments: argparse.Namespace) -> None:
    command = [
        *(sys.executable, "-m", "medtrain", "ddp", "--procs", str(arguments.procs)),
        *("--recipe", "glaucoma", "--data", str(shards), "--out", str(out)),
        *("--epochs", str(arguments.epochs), "--batch-size", str(arguments.batch_size)),
        *("--set", f"seed={seed}", "--quiet"),
    ]
    subprocess.run(command, check=True)


def scores_and_labels(run: Path) -> tuple[np.ndarray, np.ndarray]:
    """Test score of the positive class (a margin) and 1 where the truth is positive."""
    metrics = json.loads((run / "metrics.json").read_text())["test"]
    positive = metrics["classes"].index(metrics["positive_class"])
    with np.load(run / "predictions-test.npz", allow_pickle=False) as stored:
        logits = stored["logits"].astype(np.float64)
        return logits[:, positive] - logits[:, 1 - positive], stored["labels"] == positive


def median_with_interval(scores: Sequence[np.ndarray], positive: np.ndarray) -> tuple[float, ...]:
    """Median AUROC over seeds and its 95 % percentile interval over resampled test images."""
    rng = np.random.default_rng(0)
    sides = (np.flatnonzero(positive), np.flatnonzero(~positive))
    medians = []
    for _ in range(RESAMPLES):
        rows = np.concatenate([rng.choice(side, side.size) for side in sides])
        medians.append(np.median([auroc(score[rows], positive[rows]) for score in scores]))
    whole = np.median([auroc(score, positive) for score in scores])
    low, high = np.percentile(medians, [2.5, 97.5])
    return float(whole), float(low), float(high)


def interval_text(shortcut: dict[str, Any]) -> str:
    interval = shortcut["auroc_interval"]
    if interval is None:
        return f"no interval: {shortcut['undefined']['auroc_interval']}"
    return f"{interval['level']:.0%} interval {interval['low']:.3f} to {interval['high']:.3f}"


def widths(source: Path, reader: medprep.ShardReader) -> np.ndarray:
    return np.array([_core.probe((source / str(i)).read_bytes())["width"] for i in reader.ids])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("source", type=Path, help="class folders of photographs")
    parser.add_argument("--out", type=Path, default=Path("runs/glaucoma-seeds"))
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=8, help="per process")
    parser.add_argument("--procs", type=int, default=2)
    arguments = parser.parse_args()

    shards = arguments.out / "shards"
    made = medprep.shard(
        arguments.source, shards, preset="glaucoma", split="train=0.7,val=0.15,test=0.15"
    )
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    scores, positive = [], None
    for seed in seeds:
        run = arguments.out / f"seed-{seed}"
        if not (run / "predictions-test.npz").is_file():
            train(shards, run, seed, arguments)
        score, truth = scores_and_labels(run)
        assert positive is None or np.array_equal(positive, truth), "the test rows must agree"
        positive = truth
        scores.append(score)
        print(f"seed {seed}: test AUROC {auroc(score, truth):.3f}", flush=True)
    assert positive is not None

    median, low, high = median_with_interval(scores, positive)
    fit, test = (medprep.ShardReader(shards, split=split) for split in ("train", "test"))
    label = fit.manifest.classes.index("glaucoma")
    shortcut = single_feature_auroc(
        *(widths(arguments.source, fit), (fit.labels == label).astype(int)),
        *(widths(arguments.source, test), (test.labels == label).astype(int)),
    )
    print(
        f"\n{made.images} images, {test.labels.size} of them in test; MedicalCNN, "
        f"{arguments.epochs} epochs, {arguments.procs} x {arguments.batch_size} images a step; "
        f"digest {made.digest[:16]}; torch {torch.__version__}, {cpu_model()}\n"
        f"MedicalCNN: median test AUROC of {len(seeds)} seeds {median:.3f} "
        f"(95 % bootstrap interval over test images {low:.3f} to {high:.3f})\n"
        f"image width alone: test AUROC {shortcut['auroc']:.3f} ({interval_text(shortcut)}; "
        f"on train {shortcut['fit_auroc']:.3f}; {shortcut['direction']})"
    )


if __name__ == "__main__":
    main()
