"""The command line with several processes: self-launch, torchrun, signals, refusals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import toy

pytestmark = [pytest.mark.distributed, pytest.mark.timeout(1200)]  # busy machines

SETS = [
    *("--set", "model.name=tiny_cnn"),
    *("--set", "data.batch_size=4"),
    *("--set", "train.log_every=1"),
    *("--threads", "1"),
]
TIMEOUT_S = 900  # a hang is ended; a busy machine is none


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return toy.make_shards(tmp_path_factory.mktemp("data") / "shards")


def environment():
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "TORCHELASTIC"))}
    path = os.pathsep.join(p for p in sys.path if p)
    return kept | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def command(*arguments, torchrun=0):
    start = [sys.executable]
    if torchrun:
        start += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={torchrun}"]
        start += ["--signals-to-handle=SIGTERM,SIGINT,SIGUSR1,SIGUSR2"]
    return [*start, "-m", "medtrain", *map(str, arguments)]


def call(*arguments, torchrun=0, **values):
    return subprocess.run(
        command(*arguments, torchrun=torchrun),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
        env=environment() | values,
    )


def test_launched_and_torchrun_runs_agree(shards, tmp_path):
    common = ["--data", shards, "--epochs", "1", *SETS, "--json"]
    launched = call("ddp", "--procs", "2", "--out", tmp_path / "launched", *common)
    assert launched.returncode == 0, launched.stderr
    joined = call("ddp", "--out", tmp_path / "joined", *common, torchrun=2)
    assert joined.returncode == 0, joined.stderr
    one, other = (json.loads(done.stdout.splitlines()[-1]) for done in (launched, joined))
    assert one["world_size"] == other["world_size"] == 2
    assert one["val"] == other["val"] and one["test"] == other["test"]
    typed = json.loads((tmp_path / "launched" / "environment.json").read_text())["command"]
    assert "--procs" in typed and str(tmp_path / "launched") in typed


def wait_for_steps(run: Path, count: int) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        if (run / "records.jsonl").is_file() and (run / "records.jsonl").read_text().count(
            '"step",'
        ) >= count:
            return
        time.sleep(0.1)
    raise AssertionError(f"{run}: no {count} steps within {TIMEOUT_S} s")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGUSR1, 75), (signal.SIGINT, 130)])
def test_signal_saves_on_all_ranks_ends_the_workers_and_says_so(shards, tmp_path, number, code):
    run = tmp_path / "run"
    arguments = ["ddp", "--procs", 2, "--data", shards, "--out", run, "--epochs", 10_000, *SETS]
    process = subprocess.Popen(
        command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    )
    try:
        wait_for_steps(run, 3)
        workers = children_of(process.pid)
        asked = time.time()
        process.send_signal(number)
        _, errors = process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
    assert process.returncode == code, errors.decode()
    assert_saved_soon(run, asked)
    assert len(workers) == 2
    assert not [pid for pid in workers if is_alive(pid)]


def assert_saved_soon(run: Path, asked: float) -> None:
    """Within 20 s, which schedulers give, on this machine and however busy it is."""
    assert json.loads((run / "status.json").read_text())["state"] == "stopped"
    state = run / "checkpoints" / "last" / "state.json"
    assert json.loads(state.read_text())["progress"]["step"] >= 3
    assert state.stat().st_mtime < asked + 20


def test_signal_to_torchrun_saves_on_all_ranks(shards, tmp_path):
    run = tmp_path / "run"
    arguments = ["ddp", "--data", shards, "--out", run, "--epochs", 10_000, *SETS]
    process = subprocess.Popen(
        command(*arguments, torchrun=2),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    try:
        wait_for_steps(run, 3)
        workers = children_of(process.pid)
        asked = time.time()
        process.send_signal(signal.SIGUSR1)
        process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
    assert process.returncode != 0  # torchrun's own
    assert_saved_soon(run, asked)
    assert not [pid for pid in workers if is_alive(pid)]


def test_killed_worker_ends_the_run_and_the_status_says_so(shards, tmp_path):
    run = tmp_path / "run"
    arguments = ["ddp", "--procs", 2, "--data", shards, "--out", run, "--epochs", 10_000, *SETS]
    process = subprocess.Popen(
        command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    )
    try:
        wait_for_steps(run, 3)
        workers = children_of(process.pid)
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
    assert process.returncode == 137
    status = json.loads((run / "status.json").read_text())
    assert (status["state"], status["message"]) == ("failed", "a worker process was killed")


def test_workers_die_with_their_launcher(shards, tmp_path):
    run = tmp_path / "run"
    arguments = ["ddp", "--procs", 2, "--data", shards, "--out", run, "--epochs", 10_000, *SETS]
    process = subprocess.Popen(
        command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    )
    try:
        wait_for_steps(run, 3)
        workers = children_of(process.pid)
    finally:
        process.kill()
        process.communicate()
    deadline = time.monotonic() + 10
    while any(is_alive(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(workers) == 2 and not any(is_alive(pid) for pid in workers)


def children_of(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_gpus_that_are_not_there_are_refused_not_replaced(shards):
    done = call("ddp", "--gpus", "2", "--data", shards, CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 2
    assert "--gpus 2: this machine has no usable CUDA GPU; use --procs 2" in done.stderr
    assert "Traceback" not in done.stderr


def test_unknown_key_is_refused_before_anything_starts(shards):
    done = call("ddp", "--procs", "2", "--data", shards, "--set", "optim.leraning_rate=1")
    assert done.returncode == 2
    assert "unknown key 'optim.leraning_rate'; did you mean 'optim.learning_rate'?" in done.stderr


def test_worker_that_fails_gives_its_exit_code(shards, tmp_path):
    done = call(
        *("ddp", "--procs", "2", "--data", shards, "--out", tmp_path / "bad"),
        *("--set", "model.name=timm/resnet10"),
    )
    assert done.returncode == 2
    assert "did you mean 'timm/resnet10t'" in done.stderr
    assert json.loads((tmp_path / "bad" / "status.json").read_text())["state"] == "failed"
