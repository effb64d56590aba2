"""`medprep verify`: every changed byte is found, and the message says where."""

import json
import random
import shutil

import pytest
from click.testing import CliRunner
from tiny_collections import write_classes

import medprep
from medprep.cli import main


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verify")
    src = write_classes(folder / "src", {"a": 10, "b": 6})
    (src / "a" / "bad.jpg").write_text("x")
    medprep.shard(src, folder / "out", size=8, shard_samples=6)
    return folder / "out"


@pytest.fixture
def out(made, tmp_path):
    return shutil.copytree(made, tmp_path / "out")


def verify(out):
    result = CliRunner().invoke(main, ["verify", str(out), "--json"])
    return result, json.loads(result.stdout.splitlines()[-1])


def messages(report):
    return " | ".join(f"{e['shard']}: {e['message']}" for e in report["errors"])


def test_a_sound_data_set_is_ok(made):
    result, report = verify(made)
    assert result.exit_code == 0
    assert report["ok"] is True and report["errors"] == []
    assert report["checked_bytes"] == sum(p.stat().st_size for p in made.glob("*.npz"))


def test_a_changed_pixel_names_shard_row_sample_and_source_file(out):
    reader = medprep.ShardReader(out)
    wanted = reader[3]
    path = out / "train-00000.npz"
    data = bytearray(path.read_bytes())
    data[256 + 3 * 8 * 8 * 3 + 17] ^= 1
    path.write_bytes(bytes(data))
    result, report = verify(out)
    assert result.exit_code == 4 and report["ok"] is False
    rows = [e for e in report["errors"] if "row" in e]
    assert [(e["shard"], e["row"], e["id"], e["path"]) for e in rows] == [
        ("train-00000.npz", 3, wanted.id, wanted.id)
    ]
    assert f"train-00000.npz, row 3, {wanted.id}: " in result.stderr


def test_random_flips_and_cuts_of_shards_are_all_found(out):
    rng = random.Random(5)
    for _ in range(60):
        path = rng.choice(sorted(out.glob("*.npz")))
        whole = path.read_bytes()
        if rng.random() < 0.2:
            path.write_bytes(whole[: rng.randrange(len(whole))])
        else:
            changed = bytearray(whole)
            changed[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
            path.write_bytes(bytes(changed))
        result, report = verify(out)
        assert result.exit_code == 4 and path.name in messages(report)
        path.write_bytes(whole)
    assert verify(out)[0].exit_code == 0


def change_json(path, change):
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(digest="0" * 64), "Merkle root"),
        (lambda m: m["channel_mean"].__setitem__(0, 0.5), "mean or std of channel 0"),
        (lambda m: m.update(seed=9), "seed differs from plan.json"),
        (lambda m: m["classes"].reverse(), "classes differs"),
        (lambda m: m["pipeline"]["steps"][1].update(width=9), "fingerprint"),
        (lambda m: m["splits"]["train"]["class_counts"].reverse(), "class counts of split train"),
        (lambda m: m["shards"][0].update(sha256="0" * 64), "SHA-256"),
    ],
)
def test_a_changed_manifest_is_found(out, change, message):
    change_json(out / "manifest.json", change)
    result, report = verify(out)
    assert result.exit_code == 4
    assert message in messages(report)


def test_changed_side_files_are_found(out):
    for name, message in (
        ("samples.jsonl", "line 2 differs"),
        ("failures.jsonl", "line 1 differs"),
        ("plan.json", "damaged plan"),
        ("records/train-00000.json", "its record is missing or not JSON"),
    ):
        path = out / name
        whole = path.read_bytes()
        lines = whole.splitlines(keepends=True)
        path.write_bytes(b"".join(lines[:1]) + b"{}\n" if name == "samples.jsonl" else b"{}\n")
        if name.startswith("records"):
            path.write_bytes(b"{")
        result, report = verify(out)
        assert result.exit_code == 4, name
        assert message in messages(report), name
        path.write_bytes(whole)


def test_a_copy_without_records_is_checked_by_its_pixels(out):
    shutil.rmtree(out / "records")
    (out / "plan.json").unlink()
    assert verify(out)[0].exit_code == 0
    change_json(out / "manifest.json", lambda m: m.update(digest="0" * 64))
    result, report = verify(out)
    assert result.exit_code == 4 and "digest is not that of the shards" in messages(report)


def test_a_folder_without_manifest_is_wrong_use(tmp_path):
    result = CliRunner().invoke(main, ["verify", str(tmp_path)])
    assert result.exit_code == 2
    assert "no manifest" in result.stderr and "Traceback" not in result.output
