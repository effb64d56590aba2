"""`medtrain selftest` and `medtrain scale` end to end: real trainers on a made-up set."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import toy
from safetensors.numpy import load_file, save_file
from test_launch import TIMEOUT_S, call, children_of, command, environment, is_alive

from medtrain.selftest import compare_runs, make_toy_set, train

pytestmark = [pytest.mark.distributed, pytest.mark.slow, pytest.mark.timeout(1200)]

TINY = ["--set", "model.name=tiny_cnn", "--batch-sizes", "4", "--steps", "5", "--warmup", "1"]


@pytest.fixture(scope="module")
def tested(tmp_path_factory):
    """Run folders of a real self-test: serial, and DDP with two processes."""
    folder = tmp_path_factory.mktemp("selftest")
    data = make_toy_set(folder)
    for strategy, processes in (("serial", 1), ("ddp", 2)):
        where = {"device": "cpu", "processes": processes, "threads": 1}
        train(strategy, data, folder / strategy, whole=8, **where)
    return folder


def wrong(serial: Path, other: Path) -> list[str]:
    return [f"{check.what}: {check.where}" for check in compare_runs(serial, other) if not check.ok]


def test_one_process_and_two_agree_on_this_machine(tested):
    checks = compare_runs(tested / "serial", tested / "ddp")
    assert len(checks) == 6
    assert [check for check in checks if not check.ok] == []
    assert "on 2 ranks" in checks[-1].what  # both wrote what they ended with


def test_training_moves_the_weights_far_beyond_the_tolerance(tested):
    """Or the self-test would agree on anything."""
    last = load_file(tested / "serial/checkpoints/last/model.safetensors")
    best = load_file(tested / "ddp/checkpoints/previous/model.safetensors")
    moved = max(float(np.abs(last[name] - best[name]).max()) for name in last)
    assert moved > 1e-3


def test_a_rank_that_ended_with_other_weights_is_named(tested, tmp_path):
    other = shutil.copytree(tested / "ddp", tmp_path / "ddp")
    lines = (other / "records.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    (ranks,) = (event["ranks"] for event in events if event["event"] == "ranks")
    ranks[1]["weights"] = "0" * 16
    (other / "records.jsonl").write_text("".join(f"{json.dumps(event)}\n" for event in events))
    found = wrong(tested / "serial", other)
    assert found == ["the same weights on 2 ranks: rank 1 differs from rank 0"]


def test_a_tensor_that_differs_is_named(tested, tmp_path):
    other = shutil.copytree(tested / "ddp", tmp_path / "ddp")
    path = other / "checkpoints/last/model.safetensors"
    tensors = load_file(path)
    name = sorted(tensors)[-1]
    tensors[name] = tensors[name] + np.float32(0.001)
    save_file(tensors, path)
    (found,) = wrong(tested / "serial", other)
    assert found.endswith(f"most in {name}")


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return toy.make_shards(tmp_path_factory.mktemp("data") / "shards")


def test_a_scaling_study_measures_and_writes_everything(shards, tmp_path):
    out = tmp_path / "study"
    grid = ["--strategies", "serial,ddp", "--procs", "2", "--repeats", "1"]
    done = call("scale", "--data", shards, "--out", out, *grid, *TINY, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["left_out"] == []
    assert [row["case"]["strategy"] for row in report["rows"]] == ["serial", "ddp"]
    serial, ddp = report["rows"]
    assert ddp["speedup"] == ddp["images_per_s"] / serial["images_per_s"]
    assert ddp["memory"] > 2**20 and report["workload"]["steps"] == 5
    assert "fewer than 3 times" in report["advice"][0]
    names = {"scale.html", "scale.md", "scale.csv", "scale.json", "measurements.jsonl", "plots"}
    assert {path.name for path in out.iterdir()} == names
    rows = list(csv.DictReader((out / "scale.csv").read_text().splitlines()))
    assert [float(row["images_per_s"]) for row in rows] == [
        row["images_per_s"] for row in report["rows"]
    ]


def test_an_interrupted_study_ends_its_trainer_and_writes_nothing(shards, tmp_path):
    out = tmp_path / "study"
    arguments = ["scale", "--data", shards, "--out", out, "--strategies", "serial", *TINY]
    process = subprocess.Popen(
        command(*arguments, "--set", "train.log_every=1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment() | {"TMPDIR": str(tmp_path)},
    )
    try:
        trainer = wait_for_child(process.pid)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
    assert process.returncode == 128 + signal.SIGTERM, errors
    assert f"interrupted: nothing was written to {out}" in errors
    assert "Traceback" not in errors
    assert list(out.iterdir()) == []
    assert not is_alive(trainer)
    assert list(tmp_path.glob("medtrain-scale-*")) == []


def wait_for_child(pid: int) -> int:
    """The first child that is a trainer."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        for child in children_of(pid):
            words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
            # One that is only just forked has its parent's words, of which `serial` is one, too.
            if words[1:4] == [b"-m", b"medtrain", b"serial"]:
                return child
        time.sleep(0.05)
    raise AssertionError("no trainer was started")
