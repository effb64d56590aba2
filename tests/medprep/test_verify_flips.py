"""`verify_shard` finds every damage and names shard, sample and source file (R6)."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import shard_making as making

from medprep import _core
from medprep.errors import SpecError


def verify(path: Path, record: dict) -> list[dict]:
    problems: list[dict] = json.loads(
        _core.verify_shard(str(path), json.dumps(record), record["sha256"], record["bytes"])
    )
    return problems


def test_a_sound_shard_has_no_problems(tmp_path: Path):
    for compress in ("none", "deflate"):
        record = making.write_shard(tmp_path, compress=compress)
        path = tmp_path / record["name"]
        assert verify(path, record) == []
        assert _core.verify_shard(str(path), None, record["sha256"], record["bytes"]) == "[]"


def test_random_flips_are_found_and_flips_in_pixels_name_the_sample(tmp_path: Path):
    record = making.write_shard(tmp_path)
    path = tmp_path / record["name"]
    sound = path.read_bytes()
    rng = random.Random(3)
    for _ in range(1000):
        place = rng.randrange(len(sound))
        damaged = bytearray(sound)
        damaged[place] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        problems = verify(path, record)
        assert problems and all(problem["shard"] == "train-00000.npz" for problem in problems)
        row, pixels_end = (place - 256) // (16 * 24 * 3), 256 + 5 * 16 * 24 * 3
        if 256 <= place < pixels_end:
            (named,) = [problem for problem in problems if "row" in problem]
            assert (named["row"], named["id"]) == (row, f"a/é{row}.png")
            assert named["path"] == f"a/é{row}.png"
            assert named["message"].startswith("pixels have CRC-32C")


def test_a_truncated_shard_names_the_samples_it_lost(tmp_path: Path):
    record = making.write_shard(tmp_path)
    path = tmp_path / record["name"]
    sound = path.read_bytes()
    path.write_bytes(sound[: 256 + 3 * 16 * 24 * 3 + 5])
    problems = verify(path, record)
    assert f"expected {len(sound)}" in problems[0]["message"]
    lost = {problem["id"] for problem in problems if "pixel" in problem["message"]} | {
        problem["id"] for problem in problems if "images row" in problem["message"]
    }
    assert lost == {"a/é3.png", "a/é4.png"}


def test_damage_everywhere_is_reported_in_bounds(tmp_path: Path):
    record = making.write_shard(tmp_path, 300, group_width=4)
    path = tmp_path / record["name"]
    path.write_bytes(bytes(record["bytes"]))
    problems = verify(path, record)
    assert len(problems) <= 110
    assert problems[-1]["message"].startswith("and ")


def test_private_records_verify_without_naming_a_path(tmp_path: Path):
    record = making.write_shard(tmp_path, private=True)
    path = tmp_path / record["name"]
    damaged = bytearray(path.read_bytes())
    damaged[300] ^= 1
    path.write_bytes(damaged)
    (named,) = [problem for problem in verify(path, record) if "row" in problem]
    assert named["id"] == "a/é0.png" and "path" not in named


def test_a_text_that_is_no_record_is_refused(tmp_path: Path):
    with pytest.raises(SpecError, match="record: "):
        _core.verify_shard(str(tmp_path / "x.npz"), "{}", "", 0)
