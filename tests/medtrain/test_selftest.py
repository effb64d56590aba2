"""The self-test can fail, and says where: run folders that differ in one place."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from medtrain.ranks import checksum
from medtrain.selftest import Verdict, compare_runs, render


def write_run(
    run, *, loss=0.5, weight=0.1, auroc=0.75, ids=("a", "b"), logit=0.25, ranks=("x", "x")
):
    """A run folder with one number of each kind."""
    (run / "checkpoints" / "last").mkdir(parents=True)
    steps = [{"event": "step", "step": n, "loss": 0.7 if n == 1 else loss} for n in (1, 2, 3)]
    rows = [{"rank": n, "weights": text} for n, text in enumerate(ranks)]
    lines = [*steps, {"event": "ranks", "ranks": rows}]
    (run / "records.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    tensors = {"head.weight": np.full((2, 2), weight, np.float32), "n": np.zeros((), np.float32)}
    save_file(tensors, run / "checkpoints" / "last" / "model.safetensors")
    metrics = {name: {"loss": 0.5, "accuracy": 0.5, "auroc": auroc} for name in ("val", "test")}
    (run / "metrics.json").write_text(json.dumps(metrics))
    logits = np.full((len(ids), 2), logit, np.float32)
    np.savez(run / "predictions-test.npz", ids=np.array(ids), logits=logits)
    return run


def compare(tmp_path, **changes):
    other = write_run(tmp_path / "other", **changes)
    return compare_runs(write_run(tmp_path / "serial"), other)


def test_equal_runs_pass_every_check(tmp_path) -> None:
    checks = compare(tmp_path)
    assert all(check.ok for check in checks)
    assert len(checks) == 6


def test_rounding_is_within_tolerance(tmp_path) -> None:
    assert all(check.ok for check in compare(tmp_path, loss=0.5 + 1e-6, weight=0.1 + 1e-6))


@pytest.mark.parametrize(
    ("changes", "what", "where"),
    [
        ({"loss": 0.51}, "training loss", "from step 2 on"),
        ({"loss": float("nan")}, "training loss", "from step 2 on"),
        ({"weight": 0.11}, "weights after training", "most in head.weight"),
        ({"auroc": 0.74}, "val loss, accuracy, auroc", "most in auroc"),
        ({"ids": ("b", "a")}, "test logits", "in another order"),
        ({"logit": 0.3}, "test logits", ""),
        ({"ranks": ("x", "x", "y")}, "same weights on 3 ranks", "rank 2 differs from rank 0"),
        ({"ranks": ()}, "same weights", "not recorded"),
    ],
)
def test_each_difference_is_found_and_placed(tmp_path, changes, what, where) -> None:
    wrong = [check for check in compare(tmp_path, **changes) if not check.ok]
    assert what in wrong[0].what
    assert where in wrong[0].where
    text = render([Verdict(strategy="ddp", processes=2, checks=tuple(wrong))])
    assert "DIFFERENT" in text


def test_the_checksum_sees_names_shapes_and_bytes() -> None:
    one = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor(3)}
    assert checksum(one) == checksum(dict(reversed(one.items())))
    for other in (
        {"a": torch.tensor([1.0, 2.0]), "c": torch.tensor(3)},
        {"a": torch.tensor([[1.0], [2.0]]), "b": torch.tensor(3)},
        {"a": torch.tensor([1.0, 2.0 + 1e-6]), "b": torch.tensor(3)},
        {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor(4)},
    ):
        assert checksum(other) != checksum(one)
