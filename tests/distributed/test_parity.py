"""1, 2 and 3 processes: the same weights, the same metrics.

Tolerances: sums over ranks are rounded in another order than the serial sum, about 1e-7 of each
gradient per step; 8 steps of SGD at 0.05 on weights of about 0.1 leave a few 1e-7.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
import scenarios
import toy
from safetensors.torch import load_file

WEIGHT_TOLERANCE = 2e-6

pytestmark = pytest.mark.distributed


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("worlds")
    toy.make_shards(folder / "shards", counts=scenarios.COUNTS, labels_of=scenarios.LABELS)
    scenarios.work(0, 1, folder)  # first: the others evaluate its weights
    scenarios.start((2, 3), folder)
    return folder


def weights(folder, name, world_size):
    return load_file(folder / f"{name}-{world_size}" / "checkpoints/last/model.safetensors")


def state(folder, name, world_size):
    path = folder / f"{name}-{world_size}" / "checkpoints/last/state.json"
    return json.loads(path.read_text())["progress"]


def largest_difference(a, b):
    assert a.keys() == b.keys()
    return max(float((a[key].double() - b[key].double()).abs().max()) for key in a)


@pytest.mark.parametrize("world_size", [2, 3])
@pytest.mark.parametrize("name", ["group", "frozen", "accumulate", "unweighted"])
def test_any_number_of_processes_trains_the_serial_weights(runs, name, world_size):
    serial, spread = weights(runs, name, 1), weights(runs, name, world_size)
    assert largest_difference(serial, spread) < WEIGHT_TOLERANCE
    assert state(runs, name, 1)["step"] == state(runs, name, world_size)["step"] >= 4


def test_training_moved_the_weights_far_beyond_the_tolerance(runs):
    assert largest_difference(weights(runs, "group", 1), weights(runs, "unweighted", 1)) > 1e-3


def test_accumulation_is_one_step_of_the_larger_batch(runs):
    assert state(runs, "group", 1)["step"] == 8
    assert state(runs, "accumulate", 3)["step"] == 4


def test_batch_statistics_equal_the_serial_run_of_the_same_sub_batches(runs):
    serial, spread = weights(runs, "batch", 1), weights(runs, "batch", 2)
    trained = [key for key in serial if "running" not in key and "num_batches" not in key]
    for key in trained:
        assert float((serial[key] - spread[key]).abs().max()) < WEIGHT_TOLERANCE, key


def test_epoch_records_are_over_all_ranks(runs):
    def epochs(world_size):
        lines = (runs / f"group-{world_size}" / "records.jsonl").read_text().splitlines()
        return [e for e in map(json.loads, lines) if e["event"] == "epoch"]

    for one, other in zip(epochs(1), epochs(3), strict=True):
        assert one["train"]["loss"] == pytest.approx(other["train"]["loss"], rel=1e-5)
        assert one["train"]["objective"] == pytest.approx(other["train"]["objective"], rel=1e-5)
        assert one["train"]["accuracy"] == other["train"]["accuracy"]


@pytest.mark.parametrize("world_size", [2, 3])
def test_metrics_of_the_same_weights_are_the_same_bits(runs, world_size):
    serial, spread = (
        json.loads((runs / f"evaluate-{n}" / "metrics.json").read_text()) for n in (1, world_size)
    )
    assert serial["val"]["n"] == 11 and serial["test"]["n"] == 2  # fewer than 3 ranks
    assert spread == serial
    for split in ("val", "test"):
        one, other = (
            np.load(runs / f"evaluate-{n}" / f"predictions-{split}.npz") for n in (1, world_size)
        )
        assert (one["logits"] == other["logits"]).all()
        assert (one["ids"] == other["ids"]).all()
