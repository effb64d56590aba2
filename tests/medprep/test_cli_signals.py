"""Signals: the first ends in good order, the second at once; a killed run resumes."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from tiny_collections import write_classes

import medprep

# Slow enough to be hit: kernel python, one shard per 4 images.
WORDS = ["--preset", "glaucoma", "--size", "256", "--shard-samples", "4", "--engine", "sequential"]
OPTIONS = {"preset": "glaucoma", "size": 256, "shard_samples": 4}


@pytest.fixture(scope="module")
def src(tmp_path_factory):
    return write_classes(tmp_path_factory.mktemp("signals") / "src", {"a": 100, "b": 100})


@pytest.fixture(scope="module")
def digest(src):
    return medprep.shard(src, src.parent / "reference", **OPTIONS).digest


def start(src, out, *words):
    command = [sys.executable, "-m", "medprep", "shard", str(src), str(out), *WORDS, *words]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def wait_for_shards(out, count, process):
    deadline = time.monotonic() + 60
    while len(list(out.glob("*.npz"))) < count and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def wait_until_gone(group):
    """No worker is left; Python's own resource tracker needs a moment to notice."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError("a process of the run is still there")


@pytest.mark.parametrize(
    ("number", "code", "kernel"),
    [
        (signal.SIGTERM, 75, "python"),
        (signal.SIGUSR1, 75, "rust"),
        (signal.SIGINT, 130, "python"),
        (signal.SIGINT, 130, "rust"),
    ],
)
def test_the_first_signal_finishes_the_shard_and_the_run_resumes(
    src, digest, tmp_path, number, code, kernel
):
    out = tmp_path / "out"
    process = start(src, out, "--kernel", kernel)
    wait_for_shards(out, 2, process)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == code, stderr
    assert "stopped safely" in stderr and "run the same command again" in stderr
    assert "Traceback" not in stderr
    assert not list(out.glob(".*")) and not (out / "manifest.json").exists()
    report = medprep.shard(src, out, **OPTIONS)
    assert report.digest == digest and report.resumed >= 2


@pytest.mark.parametrize("kernel", ["rust", "python"])
def test_a_second_signal_stops_at_once_and_leaves_nothing_half_written(src, tmp_path, kernel):
    out = tmp_path / "out"
    process = start(src, out, "--kernel", kernel)
    wait_for_shards(out, 1, process)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGUSR1)
    _, stderr = process.communicate(timeout=60)
    # Both may arrive as one when the process is slow to look; then it is a safe stop.
    assert process.returncode in (75, 128 + signal.SIGUSR1, 128 + signal.SIGTERM), stderr
    assert "Traceback" not in stderr
    assert not list(out.glob(".*tmp*"))


def test_ctrl_c_reaches_dask_workers_too_but_they_finish_their_shards(src, digest, tmp_path):
    out = tmp_path / "out"
    process = start(src, out, "--engine", "dask", "--threads", "2", "--kernel", "python")
    wait_for_shards(out, 1, process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr and "stopped safely" in stderr
    assert not list(out.glob(".*tmp*"))
    wait_until_gone(process.pid)
    assert medprep.shard(src, out, **OPTIONS).digest == digest


def test_kill_9_at_any_moment_resumes_to_the_same_bytes(src, digest, tmp_path):
    rng = random.Random(0)
    out = tmp_path / "out"
    for _ in range(4):
        process = start(src, out)
        time.sleep(rng.uniform(0.15, 0.9))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    report = medprep.shard(src, out, **OPTIONS)
    assert report.digest == digest
    assert not list(out.glob(".*")) and not list((out / "records").glob(".*"))
    ours, theirs = (f / "manifest.json" for f in (out, src.parent / "reference"))
    assert ours.read_bytes() == theirs.read_bytes()


def test_progress_is_silent_in_a_short_log_and_json_is_the_last_line(src, tmp_path):
    process = start(src, tmp_path / "out", "--json")
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0
    assert json.loads(stdout.splitlines()[-1])["images"] == 200
    layout, summary = stderr.splitlines()
    assert "\r" not in stderr
    assert layout.startswith("layout folder, recognised by ")
    assert summary.startswith("200 images in ")
