"""Resuming inside an epoch: the same bits with as many processes, no sample lost with others."""

from __future__ import annotations

import json
import time
from collections import Counter

import pytest
import resumptions
import toy

from medtrain import records

pytestmark = [pytest.mark.distributed, pytest.mark.timeout(1200)]  # busy machines


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("resume")
    toy.make_shards(folder / "shards", counts={"train": 29, "val": 7})
    return folder


def files_of(folder, out, which="last"):
    path = folder / out / "checkpoints" / which
    return {p.name: p.read_bytes() for p in path.glob("*.safetensors")}


def seen(folder, out):
    """Epoch -> how often each sample was trained on, over ranks and resumptions."""
    counts: dict[int, Counter] = {}
    for path in folder.glob(f"{out}-seen-*.jsonl"):
        for line in path.read_text().splitlines():
            record = json.loads(line)
            counts.setdefault(record["epoch"], Counter()).update(record["rows"])
    return counts


@pytest.mark.parametrize("world_size", [2, 3])
def test_ddp_with_batch_norm_stopped_twice_in_an_epoch_gives_the_same_bits(folder, world_size):
    sets = {"train.epochs": 1, "train.ema_decay": 0.9}
    whole, stopped = f"whole-{world_size}", f"stopped-{world_size}"
    resumptions.run_world(world_size, folder, whole, **sets)
    for polls in (2, 1):
        resumptions.run_world(world_size, folder, stopped, polls=polls, **sets)
        assert json.loads((folder / stopped / "status.json").read_text())["state"] == "stopped"
        assert "ranks.safetensors" in files_of(folder, stopped)
    resumptions.run_world(world_size, folder, stopped, **sets)
    assert seen(folder, stopped) == seen(folder, whole)
    assert files_of(folder, stopped) == files_of(folder, whole)
    assert files_of(folder, stopped, "best") == files_of(folder, whole, "best")
    metrics = [(folder / out / "metrics.json").read_text() for out in (whole, stopped)]
    assert metrics[0] == metrics[1]


def test_saving_inside_an_epoch_changes_nothing(folder):
    sets = {"train.epochs": 1, "train.ema_decay": 0.9, "checkpoint.every_steps": 2}
    resumptions.run_world(2, folder, "saving", **sets)
    assert files_of(folder, "saving") == files_of(folder, "whole-2")
    assert (folder / "saving" / "checkpoints" / "previous" / "ranks.safetensors").is_file()


def test_every_sample_is_visited_once_when_the_number_of_processes_changes(folder):
    sets = {"train.epochs": 2}
    resumptions.run_world(2, folder, "changing", polls=3, **sets)
    resumptions.run_world(3, folder, "changing", polls=2, **sets)
    resumptions.run_world(1, folder, "changing", **sets)
    counts = seen(folder, "changing")
    assert set(counts) == {0, 1}
    for epoch in counts.values():
        assert epoch == Counter(range(29))


def test_fsdp_goes_on_from_the_parts_before_an_altered_one_to_the_same_bits(folder):
    sets = {"train.epochs": 1, "train.ema_decay": 0.9}
    resumptions.run_world(2, folder, "whole-fsdp", strategy="fsdp", **sets)
    often = sets | {"checkpoint.every_steps": 2}
    resumptions.run_world(2, folder, "stopped-fsdp", strategy="fsdp", polls=4, **often)
    last = folder / "stopped-fsdp" / "checkpoints" / "last"
    assert {"shards", "average-shards"} <= {path.name for path in last.iterdir()}
    assert len(list((last / "shards").iterdir())) == 2 and not (last / "model.safetensors").exists()
    toy.flip_bit(sorted((last / "shards").iterdir())[1])
    resumptions.run_world(2, folder, "stopped-fsdp", strategy="fsdp", **sets)
    steps = [
        e["step"]
        for e in records.read(folder / "stopped-fsdp" / "records.jsonl")
        if e["event"] == "start"
    ]
    assert steps == [0, 2]  # the one of step 4 was altered
    assert files_of(folder, "stopped-fsdp") == files_of(folder, "whole-fsdp")
    metrics = [
        (folder / f"{out}-fsdp" / "metrics.json").read_text() for out in ("whole", "stopped")
    ]
    assert metrics[0] == metrics[1]


def test_pipeline_stopped_in_an_epoch_gives_the_same_bits(folder):
    sets = {"train.epochs": 1, "train.ema_decay": 0.9, "data.batch_size": 4}
    for out, polls in (("whole-pipeline", -1), ("stopped-pipeline", 3), ("stopped-pipeline", -1)):
        resumptions.run_world(2, folder, out, strategy="pipeline", polls=polls, **sets)
    events = records.read(folder / "stopped-pipeline" / "records.jsonl")
    assert [e["step"] for e in events if e["event"] == "start"] == [0, 3]
    assert files_of(folder, "stopped-pipeline") == files_of(folder, "whole-pipeline")


def test_parts_are_read_by_more_processes_and_by_one_alone(folder):
    sets = {"train.epochs": 2, "train.ema_decay": 0.9}
    resumptions.run_world(2, folder, "parts", strategy="fsdp", polls=3, **sets)
    resumptions.run_world(3, folder, "parts", strategy="fsdp", polls=2, **sets)
    resumptions.run_world(1, folder, "parts", **sets)
    counts = seen(folder, "parts")
    assert set(counts) == {0, 1}
    for epoch in counts.values():
        assert epoch == Counter(range(29))


def clock_of(folder, what):
    """When any rank found trouble, or settled it with the others; in order."""
    lines = [line for path in folder.glob("run-clock-*") for line in path.read_text().splitlines()]
    return sorted(float(at) for name, at in map(str.split, lines) if name == what)


@pytest.mark.parametrize("policy", ["fail", "skip"])
def test_corrupt_sample_on_one_rank_is_agreed_on_by_all(tmp_path, policy):
    shards = toy.make_shards(tmp_path / "shards", counts={"train": 16, "val": 6})
    toy.flip_pixel(shards, "train", 5)
    toy.flip_pixel(shards, "val", 1)
    sets = {"train.epochs": 1, "data.on_corrupt": policy}
    resumptions.run_world(2, tmp_path, "run", **sets)
    ended = time.monotonic()
    found, settled = clock_of(tmp_path, "found"), clock_of(tmp_path, "settled")
    assert len(found) == (1 if policy == "fail" else 3)  # in train, and in val twice
    for begin, _, last in zip(found, settled[::2], settled[1::2], strict=True):  # of two ranks
        assert 0 <= last - begin < 30
    if policy == "fail":
        assert ended - found[0] < 30
    errors = [path.read_text() for path in tmp_path.glob("run-error-*")]
    if policy == "fail":
        assert len(errors) == 2 and errors[0] == errors[1]
        assert "the pixels of train/5.png are not those that were written" in errors[0]
        return
    assert not errors
    counts = seen(tmp_path, "run")[0]
    # the corrupt one, and the only other sample of its micro-batch of two
    assert 5 not in counts and len(counts) == 14 and set(counts.values()) == {1}
    known = json.loads((tmp_path / "run" / "corrupt.json").read_text())["samples"]
    assert [s["id"] for s in known] == ["train/5.png", "val/1.png"]
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["val"]["n"] == 5
