"""What a finished run leaves for people and later analysis: metrics and per-sample predictions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from medtrain import files, records
from medtrain.data import Split
from medtrain.types import Evaluation


def write_results(
    run: Path, splits: Mapping[str, Split], evaluations: Mapping[str, Evaluation]
) -> None:
    """RUN/metrics.json and predictions-<split>.npz."""
    metrics = {name: result.metrics for name, result in evaluations.items()}
    files.write_json(run / "metrics.json", records.finite(metrics))
    for name, result in evaluations.items():
        _write_predictions(run / f"predictions-{name}.npz", splits[name], result)


def _write_predictions(path: Path, split: Split, result: Evaluation) -> None:
    rows = result.rows
    columns: dict[str, Any] = {
        "ids": split.ids(rows["index"]),
        "labels": rows["labels"],
        "logits": rows["logits"],
    }
    groups = split.groups(rows["index"])
    if groups is not None:
        columns["groups"] = groups
    temporary = files.temporary_sibling(path)
    with temporary.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **columns)
    files.sync(temporary)
    temporary.replace(path)
