"""No patient leaves: what files say of people is in no byte of what a private run leaves behind."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import sys
import time
import traceback
import zipfile
from pathlib import Path

import canaries
import numpy as np
import pytest
from canary_files import CLASSES, write_collection, write_table

import medprep
from medprep.errors import MedprepError, PrivacyError

SHAPE = ("--size", "16", "--shard-samples", "40", "--threads", "2")


class World:
    """SRC with 300 files that name patients, and a folder whose every byte must be clean."""

    def __init__(self, src: Path, root: Path) -> None:
        self.src = src
        self.files = sum(path.is_file() for path in src.rglob("*"))
        self.clean = root / "clean"
        self.clean.mkdir()
        self.secrets = root / "secrets"  # where the key, the map and nothing else is
        self.secrets.mkdir()
        self.runs = 0

    def out(self, name: str) -> Path:
        return self.clean / name

    def medprep(self, *words: object, **options: object) -> subprocess.CompletedProcess[bytes]:
        """Run a command; what it says becomes files among those that are searched."""
        self.runs += 1
        command = [sys.executable, "-m", "medprep", *map(str, words)]
        done = subprocess.run(command, capture_output=True, check=False, timeout=250, **options)  # type: ignore[call-overload]
        for stream in ("stdout", "stderr"):
            log = self.clean / f"{self.runs:02}-{words[0]}.{stream}"
            log.write_bytes(getattr(done, stream))
        return done

    def shard(self, src: Path, out: str, *words: object) -> subprocess.CompletedProcess[bytes]:
        private = ("--private", "--key-file", self.secrets / "key", "-v", "--json")
        return self.medprep("shard", src, self.out(out), *SHAPE, *private, *words)

    def assert_clean(self) -> None:
        """No mark in any byte; paths of unfinished runs are beside OUT, for their owner only."""
        searched = []
        for path in self.clean.iterdir():
            if not path.name.endswith(".private"):
                searched.append(path)
                continue
            assert path.stat().st_mode & 0o777 == 0o700
            assert all(file.stat().st_mode & 0o777 == 0o600 for file in path.iterdir())
        hits = canaries.search(searched)
        assert not hits, "\n".join(hits[:40])


@pytest.fixture(scope="module")
def collection(tmp_path_factory) -> Path:
    src = tmp_path_factory.mktemp("canaries") / f"{canaries.NAME} export" / "src"
    write_collection(src)
    return src


@pytest.fixture
def world(collection, tmp_path) -> World:
    return World(collection, tmp_path)


def whole_run(world: World, out: str, *words: object) -> dict[str, object]:
    done = world.shard(world.src, out, "--layout", "folder", *words)
    assert done.returncode == 3, done.stderr.decode()
    summary: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    assert summary["images"] + summary["failed"] == world.files  # type: ignore[operator]
    assert summary["images"] > 40 and summary["failed"] > 40  # type: ignore[operator]
    return summary


def test_a_run_of_either_kernel_leaves_no_patient_behind(world):
    private_map = world.secrets / "map.jsonl"
    rust = whole_run(world, "rust", "--private-map", private_map)
    python = whole_run(world, "python", "--kernel", "python", "--compress", "deflate")
    assert (rust["images"], rust["failed"]) == (python["images"], python["failed"])
    assert rust["digest"] == python["digest"]
    # The map is the one file that names them, and nobody else may read it.
    assert canaries.search([world.secrets])
    assert private_map.stat().st_mode & 0o777 == 0o600
    assert not list(world.clean.glob("*.private"))
    world.assert_clean()


def test_a_planned_interrupted_and_resumed_run_leaves_no_patient_behind(world):
    out = world.out("parts")
    words = ("--private", "--key-file", world.secrets / "key", "-v", "--json", "--layout", "folder")
    planned = world.medprep("plan", world.src, out, *SHAPE[:4], *words)
    assert planned.returncode == 0, planned.stderr.decode()
    world.assert_clean()
    first = world.medprep("shard", world.src, out, "--part", "0/2", "-v", "--json")
    assert first.returncode in (0, 3), first.stderr.decode()
    world.assert_clean()
    assert world.medprep("merge", out, "--json").returncode == 2  # half of it is missing
    rest = world.shard(world.src, "parts", "--layout", "folder")
    assert rest.returncode == 3, rest.stderr.decode()
    assert world.medprep("merge", out, "-v", "--json").returncode == 3
    world.assert_clean()


def test_a_run_that_is_told_to_stop_leaves_no_patient_behind(world):
    command = [sys.executable, "-m", "medprep", "shard", world.src, world.out("stopped"), *SHAPE]
    command += ["--private", "--key-file", world.secrets / "key", "-v", "--kernel", "python"]
    command += ["--layout", "folder"]
    log = (world.clean / "stopped.log").open("wb")
    with log, subprocess.Popen([str(w) for w in command], stdout=log, stderr=log) as process:
        deadline = time.monotonic() + 100
        while not list(world.out("stopped").glob("plan.json")) and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(signal.SIGTERM)
        process.wait(100)
    world.assert_clean()
    assert whole_run(world, "stopped")["failed"]
    world.assert_clean()


def test_a_run_that_ends_at_the_first_failure_leaves_no_patient_behind(world):
    for kernel in ("rust", "python"):
        done = world.shard(
            world.src, f"fail-{kernel}", "--layout", "folder", "--on-error", "fail",
            "--kernel", kernel,
        )  # fmt: skip
        assert done.returncode == 1, done.stderr.decode()
    world.assert_clean()


def test_what_reads_a_data_set_names_no_patient(world):
    out = world.out("read")
    whole_run(world, "read")
    assert world.medprep("verify", out, "-v", "--json").returncode == 0
    page = world.clean / "sheet.html"
    assert world.medprep("inspect", out, "--html", page, "-v", "--json").returncode == 0
    shard = next(out.glob("*.npz"))
    sound = shard.read_bytes()
    damaged = bytearray(sound)
    damaged[len(damaged) // 2] ^= 1
    shard.write_bytes(damaged)
    assert world.medprep("verify", out, "-v", "--json").returncode == 4
    shard.write_bytes(sound)  # an archive that can be searched
    world.assert_clean()


def test_groups_of_a_table_are_pseudonyms(world):
    table = write_table(world.src)
    try:
        done = world.shard(table, "table", "--group-by", "patient_id")
        assert done.returncode == 3, done.stderr.decode()
        lines = (world.out("table") / "samples.jsonl").read_text().splitlines()
        assert all(re.fullmatch("[0-9a-f]{32}", json.loads(line)["group"]) for line in lines)
    finally:
        table.unlink()
    world.assert_clean()


ODD_TABLES = {
    "no path column": f"{canaries.NAME},{canaries.DATE}\n{canaries.NUMBER},1\n",
    "bad split": f"path,label,split\n{canaries.NAME}.png,1,{canaries.NAME} 1\n",
    "short row": f"path,split,label\n{canaries.NAME}.png\n",
    "stray quote": f'path,label\n"{canaries.NAME * 9000}\n',
}


@pytest.mark.parametrize("name", ODD_TABLES)
def test_what_is_wrong_with_a_table_is_said_without_its_words(world, name):
    table = world.src.parent / f"{canaries.NAME}-{name}.csv"
    table.write_text(ODD_TABLES[name])
    done = world.shard(table, f"table-{name}")
    assert done.returncode == 2, done.stderr.decode()
    assert b"SRC cannot be listed as asked" in done.stderr
    world.assert_clean()


def test_a_missing_src_and_a_lost_src_are_not_named(world):
    gone = world.src.parent / f"{canaries.NAME}-gone"
    assert world.shard(gone, "gone").returncode == 2
    out = world.out("lost")
    assert world.medprep(
        "plan", world.src, out, *SHAPE[:4], "--private", "--key-file", world.secrets / "key",
        "--layout", "folder",
    ).returncode == 0  # fmt: skip
    lost = world.medprep("shard", gone, out, "--part", "0/1", "-v")
    assert lost.returncode != 0
    world.assert_clean()


def test_notes_about_src_name_nothing(world):
    src = world.src.parent / "stray"
    write_collection(src, dicom_count=0, image_count=6)
    (src / f"{canaries.NAME}.png").write_bytes(b"stray")
    done = world.shard(src, "stray")
    assert done.returncode == 3
    assert b"left out 1 images" in done.stderr
    world.assert_clean()


def test_folders_that_look_like_patients_are_no_classes(world):
    src = world.src.parent / "patients"
    for number in range(25):
        folder = src / f"{canaries.NAME} {number}"
        folder.mkdir(parents=True)
        (folder / "a.png").write_bytes(b"x")
    done = world.shard(src, "patients")
    assert done.returncode == PrivacyError.exit_code
    assert b"use --layout files" in done.stderr
    world.assert_clean()


def test_errors_of_the_python_face_name_no_patient(world, tmp_path):
    private = {"private": True, "key_file": world.secrets / "key", "size": 16}
    texts = []
    for src, options in (
        (world.src, {"layout": "folder", "on_error": "fail"}),
        (world.src / "nothing", {}),
        (world.src, {"layout": "table"}),
    ):
        with pytest.raises(MedprepError) as caught:
            medprep.shard(src, tmp_path / "out", **options, **private)
        error = caught.value
        texts += [str(error), repr(error), str(error.path), str(error.hint)]
        texts += traceback.format_exception(error)
    # The first of the stack is this test, which names SRC.
    assert not canaries.find("\n".join(texts).encode())


def test_an_unexpected_error_is_a_place_in_the_code(world, monkeypatch, capfd):
    from medprep import cli, quiet_listing

    def fail(*arguments: object, **options: object) -> None:
        raise KeyError(canaries.NAME)

    monkeypatch.setattr(quiet_listing, "list_source", fail)
    words = ["shard", str(world.src), str(world.out("unexpected"))]
    for extra in ([], ["--private"]):
        with pytest.raises(SystemExit) as caught:
            cli.main([*words, *extra, "--key-file", str(world.secrets / "key")])
        assert caught.value.code == 1
        said = capfd.readouterr()
        assert "internal error, please report it: KeyError at " in said.err
        assert not canaries.find((said.err + said.out).encode())


@pytest.mark.distributed
def test_dask_workers_log_no_patient(world):
    options = ("--layout", "folder", "--engine", "dask")
    whole_run(world, "dask", "--engine", "dask")
    assert world.shard(world.src, "dask-fail", *options, "--on-error", "fail").returncode == 1
    world.assert_clean()


@pytest.mark.slow
def test_a_bench_names_no_patient(world):
    healthy = world.src.parent / "healthy"
    write_collection(healthy, dicom_count=0, image_count=10)
    done = world.medprep(
        "bench", healthy, "--private", "--repeats", "1", "--threads", "1", "--size", "16",
        "--layout", "folder", "--key-file", world.secrets / "key",
        "--out", world.out("bench"), "--json", "-v",
        env={**os.environ, "TMPDIR": str(world.secrets)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    assert list(world.out("bench").iterdir())
    assert not list(world.secrets.glob("medprep-bench*"))
    world.assert_clean()


# -- the search itself --------------------------------------------------------------------------


@pytest.mark.parametrize("mark", canaries.MARKS)
def test_every_form_of_a_canary_is_found(tmp_path, mark):
    for form, encoded in canaries.encodings(mark).items():
        file = tmp_path / "output.bin"
        file.write_bytes(b"before \xff" + encoded + b"\0 after")
        assert canaries.search([tmp_path]), form
        file.write_bytes(b"before \xff after")
        assert not canaries.search([tmp_path])


def test_base64_is_found_at_every_place_of_a_longer_text(tmp_path):
    for before in range(9):
        text = b"x" * before + canaries.NAME.encode() + b"some more"
        (tmp_path / "out").write_bytes(base64.b64encode(text))
        assert canaries.search([tmp_path]), before


def test_canaries_are_found_in_archives_arrays_names_and_beginnings(tmp_path):
    def finds() -> bool:
        return bool(canaries.search([tmp_path]))

    np.savez_compressed(tmp_path / "a.npz", id=np.array([canaries.NAME]))
    assert finds()
    (tmp_path / "a.npz").unlink()
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{canaries.NAME}.npy", b"")
    assert finds()
    (tmp_path / "a.zip").unlink()
    (tmp_path / f"a-{canaries.NUMBER}").mkdir()
    assert finds()
    (tmp_path / f"a-{canaries.NUMBER}").rmdir()
    (tmp_path / "log").write_text(f"found text beginning with '{canaries.NAME[:6]}'")
    assert finds()
    (tmp_path / "log").write_text("found bytes " + canaries.NAME[:6].encode().hex(" "))
    assert finds()
    (tmp_path / "log").write_text("12 images")
    assert not finds()


def test_the_collection_has_healthy_and_broken_files_of_every_kind(world):
    from canary_files import decodes

    files = [path.read_bytes() for path in world.src.rglob("*.*") if path.is_file()]
    assert len([1 for data in files if data[128:132] == b"DICM"]) > 150
    images = [data for data in files if data[128:132] != b"DICM"]
    healthy = sum(map(decodes, images))
    assert 40 < healthy < len(images) - 20
    # 40 canaries in a file at least; those cut off early are the exception.
    counts = [data.count(canaries.NAME.encode()) + data.count(canaries.NUMBER.encode())
              + data.count(canaries.DATE.encode()) for data in files]  # fmt: skip
    assert sum(count >= 40 for count in counts) > 0.8 * len(files)
    assert {path.relative_to(world.src).parts[0] for path in world.src.rglob("*.*")} == set(CLASSES)
