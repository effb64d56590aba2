"""The Rust engine from Python: same bytes always, stopped, cancelled, killed or on a full disk."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import shard_making as making

from medprep import _core
from medprep.errors import DecodeError, StorageError

RUN = "import sys; from medprep import _core; _core.run_shards(sys.argv[1], _core.StopFlag())"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("engine") / "src"
    making.make_source(root, 80, bad=(5, 40, 41, 79))
    return root


@pytest.fixture(scope="module")
def whole(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What an uninterrupted run writes."""
    out = tmp_path_factory.mktemp("engine-whole")
    making.run(making.make_job(source, out, 80, 4))
    return making.outputs(out)


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_bytes_are_the_same_for_any_number_of_threads(source, whole, tmp_path, threads: int):
    report = making.run(making.make_job(source, tmp_path, 80, 4, threads=threads))
    assert making.outputs(tmp_path) == whole
    assert (report["images"], report["failed"], len(report["records"])) == (76, 4, 20)
    assert not report["stopped"]
    assert {"read", "decode", "resize", "hash", "write", "commit"} <= set(report["stages"])


def test_rows_are_what_the_kernel_makes_of_each_file(source, tmp_path):
    making.run(making.make_job(source, tmp_path, 8, 8))
    record = json.loads((tmp_path / "records/train-00000.json").read_text())
    assert [row["id"] for row in record["rows"]] == [f"{n:04}.png" for n in (0, 1, 2, 3, 4, 6, 7)]
    for row in record["rows"]:
        image = _core.apply((source / row["path"]).read_bytes(), json.dumps(making.SPEC))
        assert row["leaf"] == _core.sample_leaf("train", row["label"], image)
    (failure,) = record["failures"]
    assert (failure["path"], failure["stage"]) == ("0005.png", "decode")
    assert failure["reason"].startswith("cannot decode PNG")


def test_kernel_python_through_shard_writer_writes_the_same_bytes(source, whole, tmp_path):
    job = making.make_job(source, tmp_path, 80, 4)
    lines = (tmp_path / "plan-samples.jsonl").read_text().splitlines()
    for shard in job["shards"][:3]:
        writer = _core.ShardWriter(
            str(tmp_path),
            json.dumps(shard),
            json.dumps(job["image"]),
            fingerprint=_core.fingerprint(json.dumps(job["spec"])),
            samples_sha256=job["samples_sha256"],
            id_width=8,
        )
        for line in lines[4 * shard["index"] : 4 * shard["index"] + 4]:
            path = json.loads(line)["path"]
            try:
                image = _core.apply((source / path).read_bytes(), json.dumps(job["spec"]))
            except DecodeError as error:
                writer.fail(path, path, error.stage or "", error.message)
            else:
                writer.append(line, image)
        writer.finish()
        shard_json = json.dumps(shard)
        assert _core.shard_is_done(
            str(tmp_path),
            shard_json,
            _core.fingerprint(json.dumps(job["spec"])),
            job["samples_sha256"],
        )
    made = making.outputs(tmp_path)
    assert len(made) == 6
    assert made == {name: whole[name] for name in made}
    assert making.run(job)["skipped"] == 3


def test_progress_counts_up_to_the_totals(source, tmp_path):
    seen: list[tuple[int, int, int]] = []
    job = json.dumps(making.make_job(source, tmp_path, 80, 4))
    _core.run_shards(job, _core.StopFlag(), lambda *counts: seen.append(counts))
    assert seen == sorted(seen)
    assert seen[-1] == (76, 4, 20)


def test_a_stop_finishes_whole_shards_and_the_next_run_goes_on(source, whole, tmp_path):
    job = making.make_job(source, tmp_path, 80, 4, threads=1)
    stop = _core.StopFlag()
    # Set from another thread: the wait has released the GIL.
    setter = threading.Thread(target=lambda: (wait_for_a_shard(tmp_path), stop.set()))
    setter.start()
    report = json.loads(_core.run_shards(json.dumps(job), stop))
    setter.join()
    assert stop.is_set()
    assert report["stopped"] == (len(report["records"]) < 20)
    made = making.outputs(tmp_path)
    assert made == {name: whole[name] for name in made}
    again = making.run(job)
    assert again["skipped"] == len(report["records"])
    assert not again["stopped"]
    assert making.outputs(tmp_path) == whole


def wait_for_a_shard(out: Path) -> None:
    deadline = time.monotonic() + 20
    while not list((out / "records").glob("t*.json")) and time.monotonic() < deadline:
        time.sleep(0.001)


def test_a_stop_set_before_the_run_does_nothing(source, tmp_path):
    stop = _core.StopFlag()
    stop.set()
    report = json.loads(_core.run_shards(json.dumps(making.make_job(source, tmp_path, 8, 4)), stop))
    assert report["stopped"] and report["records"] == []


@pytest.fixture(scope="module")
def slow_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Few images, read again and again, so that slices of waiting pass before the run ends."""
    root = tmp_path_factory.mktemp("engine-slow") / "src"
    making.make_source(root, 4, side=600)
    return root


def test_ctrl_c_cancels_and_removes_temporary_files(slow_source, tmp_path):
    job = json.dumps(making.make_job(slow_source, tmp_path, 3000, 3000, files=4, threads=1))

    def interrupt(*_: int) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    # A shell has its background jobs ignore Ctrl-C, and Python then does so, too.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            _core.run_shards(job, _core.StopFlag(), interrupt)
    finally:
        signal.signal(signal.SIGINT, before)
    assert making.outputs(tmp_path) == {}


def test_an_exception_in_progress_cancels_and_is_raised(slow_source, tmp_path):
    def fail(*_: int) -> None:
        raise RuntimeError("from progress")

    job = json.dumps(making.make_job(slow_source, tmp_path, 3000, 3000, files=4, threads=2))
    with pytest.raises(RuntimeError, match="from progress"):
        _core.run_shards(job, _core.StopFlag(), fail)
    assert making.outputs(tmp_path) == {}


def test_kill_9_leaves_nothing_half_written_and_the_rest_is_made_later(source, whole, tmp_path):
    job = json.dumps(making.make_job(source, tmp_path, 80, 4))
    (tmp_path / "records").mkdir()
    rng, kills = random.Random(11), 0
    for _ in range(8):
        before = list_names(tmp_path)
        process = subprocess.Popen([sys.executable, "-c", RUN, job])
        deadline = time.monotonic() + 10
        # Kill some time after the process has begun to write.
        while process.poll() is None and list_names(tmp_path) == before:
            assert time.monotonic() < deadline
        time.sleep(rng.uniform(0, 0.01))
        process.kill()
        kills += process.wait() == -signal.SIGKILL
        visible = {
            name: data
            for name, data in making.outputs(tmp_path).items()
            if not Path(name).name.startswith(".")
        }
        assert visible == {name: whole[name] for name in visible}
    assert kills >= 1
    making.run(json.loads(job))
    assert making.outputs(tmp_path) == whole


def list_names(out: Path) -> set[str]:
    return {path.name for folder in (out, out / "records") for path in folder.iterdir()}


def test_stale_temporary_files_of_this_host_only_are_removed(source, tmp_path):
    job = making.make_job(source, tmp_path, 4, 4)
    (tmp_path / "records").mkdir()
    stale = tmp_path / making.dead_temp_name("train-00000.npz")
    stale_record = tmp_path / "records" / making.dead_temp_name("train-00000.json")
    foreign = tmp_path / f".x.npz.tmp-another-host-{1 << 30}-00"
    for path in (stale, stale_record, foreign):
        path.write_bytes(b"half")
    assert _core.remove_stale_temps(str(tmp_path)) == 2
    stale.write_bytes(b"half")
    making.run(job)
    assert not stale.exists() and not stale_record.exists() and foreign.exists()


LIMITED = """
import json, resource, sys
from medprep import _core, errors
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), -1))
try:
    _core.run_shards(sys.argv[1], _core.StopFlag())
except errors.StorageError as error:
    print(json.dumps([error.exit_code, error.path, error.stage, str(error)]))
"""


@pytest.mark.parametrize("limit", [0, 100, 300, 2000, 4700, 5400])
def test_a_file_that_cannot_grow_is_a_storage_error_and_leaves_nothing(
    source, whole, tmp_path, limit: int
):
    job = json.dumps(making.make_job(source, tmp_path, 80, 4))
    command = [sys.executable, "-c", LIMITED, job, str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    exit_code, path, stage, message = json.loads(done.stdout)
    assert (exit_code, stage) == (74, "store")
    assert path.startswith(str(tmp_path)) and f"cannot write {path}" in message
    made = making.outputs(tmp_path)
    assert made == {name: whole[name] for name in made}


def test_a_full_disk_is_a_storage_error_that_says_what_to_do(source, whole, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting a small tmpfs needs root")
    try:
        job = making.make_job(source, disk / "out", 80, 4)
        with pytest.raises(StorageError, match=r"No space left.*free some space") as raised:
            making.run(job)
        assert raised.value.path is not None
        assert raised.value.path.startswith(str(disk))
        made = making.outputs(disk / "out")
        assert made and made == {name: whole[name] for name in made}
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_paths_cannot_leave_the_source_folder(source, tmp_path):
    root = tmp_path / "src"
    root.mkdir()
    secret = tmp_path / "secret.png"
    secret.write_bytes((source / "0000.png").read_bytes())
    (root / "0000.png").symlink_to(secret)
    (root / "folder").symlink_to(tmp_path)
    os.mkfifo(root / "pipe")
    job = making.make_job(root, tmp_path / "out", 6, 6)
    paths = ["0000.png", "../secret.png", str(secret), "folder/secret.png", "pipe", "/dev/zero"]
    lines = [
        json.dumps({"id": f"s{n}", "path": path, "label": 0, "split": "train"}) + "\n"
        for n, path in enumerate(paths)
    ]
    (tmp_path / "out/plan-samples.jsonl").write_text("".join(lines))
    assert making.run(job)["failed"] == 6
    record = json.loads((tmp_path / "out/records/train-00000.json").read_text())
    assert {failure["stage"] for failure in record["failures"]} == {"read"}
    reasons = [failure["reason"] for failure in record["failures"]]
    leads_out = "cannot read: the path leads out of the source folder"
    assert reasons == [*[leads_out] * 4, "cannot read: not a regular file", leads_out]


def test_headers_are_read_in_parallel_in_order_and_stay_inside(source):
    paths = [f"{n:04}.png" for n in range(80)] + ["missing.png", "../up.png"]
    found = _core.probe_files(str(source), paths, 3)
    assert found[0] == {
        "format": "PNG",
        "height": 40,
        "width": 43,
        "channels": 3,
        "bit_depth": 8,
        "orientation": 1,
        "frames": 1,
        "icc": False,
    }
    assert [entry.get("stage") for entry in found[80:]] == ["read", "read"]
    assert _core.probe((source / "0001.png").read_bytes()) == found[1]


FORKED = """
import os, sys
from medprep import _core, errors
if os.fork() == 0:
    for call in (lambda: _core.run_shards(sys.argv[1], _core.StopFlag()),
                 lambda: _core.probe_files(".", [], 1)):
        try:
            call()
        except errors.UsageError as error:
            print(error, flush=True)
    os._exit(0)
os.wait()
"""


def test_a_forked_child_is_refused_with_what_to_do(source, tmp_path):
    job = json.dumps(making.make_job(source, tmp_path, 4, 4))
    done = subprocess.run(
        [sys.executable, "-c", FORKED, job], capture_output=True, text=True, timeout=60, check=True
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    assert all("forked" in line and "'spawn' or 'forkserver'" in line for line in lines)
