"""What people read when a process of a job ends: one line, a status, an exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time

import pytest
import toy
from test_launch import SETS, TIMEOUT_S, call, children_of, command, environment, wait_for_steps

pytestmark = [pytest.mark.distributed, pytest.mark.timeout(1200)]  # busy machines


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return toy.make_shards(tmp_path_factory.mktemp("data") / "shards")


def started(*arguments):
    return subprocess.Popen(
        command(*arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )


def test_processes_that_lose_a_peer_say_so_in_one_line(shards, tmp_path):
    run = tmp_path / "run"
    arguments = ["--data", shards, "--out", run, "--epochs", 10_000, *SETS, "--json"]
    process = started("fsdp", "--procs", 2, *arguments)
    try:
        wait_for_steps(run, 3)
        os.kill(children_of(process.pid)[0], signal.SIGKILL)
        output, errors = process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
    assert process.returncode == 137
    assert "Traceback" not in errors
    assert json.loads((run / "status.json").read_text())["state"] == "failed"
    assert json.loads(output.splitlines()[-1])["exit_code"] == 137


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
def test_signal_before_the_workers_are_up_leaves_a_status(shards, tmp_path, number, code):
    run = tmp_path / "run"
    process = started("ddp", "--procs", 2, "--data", shards, "--out", run, *SETS)
    try:
        wait_for_folder(run)
        process.send_signal(number)
        _, errors = process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
    assert process.returncode == code, errors
    assert "Traceback" not in errors
    assert json.loads((run / "status.json").read_text())["state"] == "stopped"


def wait_for_folder(run):
    """It is made just before the workers are started."""
    deadline = time.monotonic() + TIMEOUT_S
    while not run.is_dir():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("strategy", ["fsdp", "pipeline"])
def test_every_strategy_stops_at_a_step_and_goes_on(shards, tmp_path, strategy):
    run = tmp_path / "run"
    arguments = [strategy, "--procs", 2, "--data", shards, "--out", run, *SETS]
    process = started(*arguments, "--epochs", 10_000)
    try:
        wait_for_steps(run, 3)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
    assert process.returncode == 75, errors
    state = json.loads((run / "checkpoints/last/state.json").read_text())["progress"]
    done = call(*arguments, "--epochs", state["epoch"] + 1, "--json")
    assert done.returncode == 0, done.stderr
    assert f"step {state['step']}" in done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["strategy"] == strategy


def test_failure_under_json_is_an_object_with_the_reason(shards, tmp_path):
    common = ("--data", shards, "--out", tmp_path / "run", "--json")
    refused = call("serial", *common, "--set", "optim.leraning_rate=1")
    assert refused.returncode == 2
    error = json.loads(refused.stdout.splitlines()[-1])
    assert "did you mean 'optim.learning_rate'" in error["error"] and error["exit_code"] == 2
    worker = call("ddp", "--procs", 2, *common, "--set", "model.name=timm/resnet10")
    assert worker.returncode == 2
    (line,) = worker.stdout.splitlines()
    error = json.loads(line)
    assert "did you mean 'timm/resnet10t'" in error["error"] and error["exit_code"] == 2
