"""Nobody asked for private mode and SRC is of patients: what goes wrong names none of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import canaries
import numpy as np
import pytest
from canary_files import write_collection
from seeds import EXPLICIT_LE, dicom_elements, dicom_file

from medprep import quiet_listing
from medprep.bench import session
from medprep.cli import main
from medprep.errors import MedprepError

HEADER = f"{canaries.NAME},{canaries.NUMBER}"
ROWS = f"{canaries.NAME}.dcm,{canaries.DATE}\n" * 3
BROKEN_TABLES = {
    "rsna: no column": ("stage_2_train_labels.csv", f"{HEADER}\n{ROWS}"),
    "rsna: short row": ("stage_2_train_labels.csv", f"patientId,x,y,width,height,Target\n{ROWS}"),
    "rsna: stray quote": ("stage_2_train_labels.csv", f'patientId\n"{canaries.NAME * 9000}'),
    "smdg: no column": ("metadata - standardized.csv", f"{HEADER}\n{ROWS}"),
    "smdg: wrong type": (
        "metadata - standardized.csv",
        f"names,types,fundus\n{canaries.NAME},{canaries.NAME},/full-fundus/{canaries.NAME}.png\n",
    ),
    "ham10000: no column": ("HAM10000_metadata.csv", f"lesion_id,image_id\n{canaries.NAME}\n"),
    "subset: no manifest": ("subset.json", f'{{"schema": "{canaries.NAME}"'),
    "table of DICOM": ("labels.csv", f"path,{HEADER}\n{ROWS}"),
    "table with a bad split": ("labels.csv", f"path,label,split\na.dcm,1,{canaries.NAME} 1\n"),
}
VERBS = {
    "scan": ["scan", "{src}", "-v", "--json"],
    "plan": ["plan", "{src}", "{out}", "-v", "--json"],
    "shard": ["shard", "{src}", "{out}", "--size", "16", "-v", "--json"],
    "dry run": ["shard", "{src}", "{out}", "--dry-run", "-v", "--json"],
    "subset": ["subset", "{src}", "{out}", "--n", "1", "-v", "--json"],
}


@pytest.fixture
def home(tmp_path) -> Path:
    """A folder named after a patient; what is left beside it must be clean."""
    path = tmp_path / f"{canaries.NAME} {canaries.DATE}" / "src"
    path.mkdir(parents=True)
    return path


def patients(home: Path) -> Path:
    """DICOM in folders named after patients."""
    image = np.full((8, 8), 100, dtype=np.uint8)
    data = dicom_file(EXPLICIT_LE, list(dicom_elements(image).values()), image.tobytes())
    for number in range(4):
        folder = home / f"class{number % 2}" / f"{canaries.NAME} {number}"
        folder.mkdir(parents=True)
        (folder / f"{canaries.NUMBER}.{number}").write_bytes(data)
    return home


@pytest.fixture
def run(tmp_path, capfd) -> Callable[..., tuple[int, str]]:
    """Run a verb in this process: exit code and all that it said."""

    def call(verb: str, src: Path, *more: str) -> tuple[int, str]:
        out = tmp_path / "left" / verb
        words = [word.format(src=src, out=out) for word in VERBS[verb]]
        with pytest.raises(SystemExit) as caught:
            main([*words, *more])
        said = capfd.readouterr()
        if verb != "subset":  # links to SRC, for those who have SRC
            left = canaries.search([tmp_path / "left"]) if (tmp_path / "left").exists() else []
            assert not [hit for hit in left if ".private" not in hit]
        return int(caught.value.code or 0), said.out + said.err

    return call


def hits(said: str) -> list[str]:
    return canaries.find(said.encode())


@pytest.mark.parametrize("case", BROKEN_TABLES)
@pytest.mark.parametrize("verb", VERBS)
def test_a_broken_table_is_refused_without_its_words(home, run, case, verb):
    name, text = BROKEN_TABLES[case]
    (home / name).write_text(text)
    for folder in ("stage_2_train_images", "full-fundus", "HAM10000_images_part_1"):
        (home / folder / canaries.NAME).mkdir(parents=True)
    if name == "subset.json":
        (home / "samples.jsonl").write_text(canaries.NAME)
    src = home / name if name == "labels.csv" else home
    code, said = run(verb, src)
    assert not hits(said), said
    told = ("SRC cannot be listed as asked", "inputs are refused", "no usable sample")
    assert any(words in said for words in told), said
    assert code in ((0, 2) if verb == "dry run" else (2, 3)), said


@pytest.mark.parametrize("verb", VERBS)
def test_a_folder_that_cannot_be_opened_is_not_named(home, run, verb, monkeypatch):
    patients(home)
    scandir = os.scandir

    def refuse(path: str | Path) -> object:
        if Path(path).name.startswith(canaries.NAME) and Path(path) != home.parent:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    code, said = run(verb, home)
    assert code == 2 and "SRC cannot be listed as asked" in said, said
    assert not hits(said), said


def test_what_is_wrong_with_src_itself_is_said_and_src_is_not_named(home, run):
    patients(home)
    (home / f"{canaries.NAME}.pdf").write_text("no table")
    code, said = run("scan", home / f"{canaries.NAME}.pdf")
    assert code == 2 and "SRC: expected a folder of images, a table or an array file" in said
    assert not hits(said), said


@pytest.mark.parametrize("verb", VERBS)
def test_an_unexpected_error_over_dicom_is_a_place_in_the_code(home, run, verb, monkeypatch):
    def fail(*arguments: object, **options: object) -> None:
        raise KeyError(canaries.NAME)

    monkeypatch.setattr(quiet_listing, "list_source", fail)
    code, said = run(verb, patients(home))
    assert code == 1 and "internal error" in said and "KeyError at " in said
    assert not hits(said), said


@pytest.mark.parametrize("kind", [OSError(5, "Input/output error", canaries.NAME), ValueError])
def test_trouble_after_listing_is_told_without_names(home, run, kind, monkeypatch):
    from medprep import planning

    def fail(*arguments: object, **options: object) -> None:
        raise kind if isinstance(kind, OSError) else kind(canaries.NAME)

    monkeypatch.setattr(planning, "cut_shards", fail)
    for verb in ("scan", "plan", "shard", "dry run"):
        code, said = run(verb, patients(home / verb))
        assert code in (1, 74), said
        assert not hits(said), said


def test_files_that_a_table_names_and_nobody_has_are_not_named(home, run):
    (home / "labels.csv").write_text(f"path,label\n{canaries.NAME}.dcm,a\n")
    for verb in ("plan", "shard", "scan"):
        code, said = run(verb, home / "labels.csv")
        assert code == 3, said
        assert not hits(said), said


def test_a_scan_says_what_dicom_is_there_and_whose_it_is_not(home, run, tmp_path):
    write_collection(home, dicom_count=12, image_count=6)
    (home / f"report.{canaries.NAME}").write_text("text")
    out = tmp_path / "left" / "scan"
    code, said = run("scan", home, "--layout", "folder", "--out", str(out))
    assert code == 3 and "SRC (private)" in said
    assert not hits(said), said
    assert (out / "scan.html").exists()


def test_a_run_over_dicom_names_nobody_unasked(home, run):
    write_collection(home, dicom_count=12, image_count=6)
    for verb in ("plan", "shard"):
        code, said = run(verb, home, "--layout", "folder")
        assert code in (0, 3), said
        assert not hits(said), said


def test_a_subset_that_cannot_be_linked_names_no_file(home, run, monkeypatch):
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device", canaries.NAME)

    monkeypatch.setattr(Path, "symlink_to", full)
    code, said = run("subset", patients(home))
    assert code == 74 and "No space left" in said
    assert not hits(said), said


def test_a_bench_over_dicom_names_nobody_unasked(home, monkeypatch):
    from medprep.options import DataOptions

    def vanish(src: Path, planned: object) -> None:
        shutil.rmtree(src)
        raise FileNotFoundError(2, "No such file or directory", canaries.NAME)

    monkeypatch.setattr(session, "cap_threads", lambda: None)
    monkeypatch.setattr(session, "_cut_for", lambda planned, threads: vanish(home, planned))
    options = session.BenchOptions(
        configurations=(session.Configuration("sequential", "rust", 1),), repeats=1, scratch=None
    )
    with pytest.raises(MedprepError) as caught:
        session.run_bench(patients(home), DataOptions(), options)
    assert not hits(str(caught.value) + repr(caught.value))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--layout", "foldr"), "unknown layout 'foldr'; did you mean 'folder'?"),
        (("--layout", "rsna"), "SRC: no stage_2_train_labels.csv"),
        (("--layout", "files", "--unlabelled", "x"), "layout 'files' has no labels at all"),
        (("--group-by", "ward"), "layout 'folder' has no columns"),
    ],
)
def test_wrong_words_of_the_user_are_said_though_src_names_patients(home, run, words, told):
    code, said = run("scan", patients(home), *words)
    assert code == 2 and told in said, said
    assert not hits(said), said


def test_an_out_inside_src_is_refused_without_their_names(home, capfd):
    for out in (home, home / "out"):
        with pytest.raises(SystemExit) as caught:
            main(["shard", str(patients(home) if out == home else home), str(out)])
        said = capfd.readouterr().err
        assert caught.value.code == 2 and "OUT is SRC or lies inside SRC" in said
        assert not hits(said), said


def test_a_part_whose_whole_is_gone_does_not_name_it(home, tmp_path, capfd):
    part, out = tmp_path / "part", tmp_path / "out"
    for words in (
        ["subset", str(patients(home)), str(part), "--n", "4"],
        ["plan", str(part), str(out), "--size", "8"],
    ):
        with pytest.raises(SystemExit) as done:
            main(words)
        assert done.value.code == 0
    shutil.rmtree(home)
    for words in (["shard", str(part), str(out), "--part", "0/1"], ["scan", str(part)]):
        with pytest.raises(SystemExit) as caught:
            main(words)
        said = capfd.readouterr()
        assert caught.value.code == 2 and "the collection it is a part of is not there" in said.err
        assert not hits(said.err + said.out), said


def test_an_array_file_that_turns_out_damaged_is_not_named(home, run):
    images = np.random.default_rng(1).integers(0, 256, (8, 28, 28), dtype=np.uint8)
    file = home / f"{canaries.NAME}.npz"
    np.savez(file, train_images=images, train_labels=np.arange(8) % 2)
    data = bytearray(file.read_bytes())
    data[3000] ^= 0xFF  # inside the pixels: only their checksum tells
    file.write_bytes(data)
    code, said = run("shard", home, "--private")
    assert code == 2 and "SRC cannot be listed as asked" in said, said
    assert not hits(said), said


# -- and who may see the names, sees them ---------------------------------------------------------


def test_names_are_shown_to_those_who_ask_for_them(home, run):
    (home / "stage_2_train_labels.csv").write_text(f"{HEADER}\n{ROWS}")
    (home / "stage_2_train_images").mkdir()
    code, said = run("dry run", home, "--keep-paths")
    assert code == 2 and hits(said)
    assert "SRC cannot be listed" not in said


def test_a_table_of_plain_pictures_says_what_is_wrong_by_name(home, run):
    (home / "labels.csv").write_text("path,finding\na.png,1\n")
    (home / "a.png").write_bytes(b"no picture")
    code, said = run("plan", home / "labels.csv")
    assert code == 2
    assert "no label column; found path, finding" in said


def test_folders_of_plain_pictures_that_contradict_are_named(home, run):
    for name in ("train/a", "test/a", "masks"):
        (home / name).mkdir(parents=True)
        (home / name / "a.png").write_bytes(b"no picture")
    code, said = run("plan", home)
    assert code == 2 and "'test' is a split but 'masks' is not" in said, said


def test_a_src_that_is_not_there_is_named(home, run):
    code, said = run("plan", home / "nothing")
    assert code == 2 and "no such file or folder" in said
