"""Runs that end after so many steps, and runs without evaluation."""

from __future__ import annotations

import json

import pytest
import toy

from medtrain import records, run
from medtrain.config import resolve
from medtrain.distributed import World
from medtrain.errors import ConfigError
from medtrain.job import Job
from medtrain.stop import StopFlag


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """23 training images: six steps an epoch in batches of four."""
    return toy.make_shards(tmp_path_factory.mktemp("data") / "shards")


def train(shards, out, *, resume="auto", **sets):
    values = toy.SMALL | {key.replace("__", "."): value for key, value in sets.items()}
    texts = [f"{key}={json.dumps(value)}" for key, value in values.items()]
    job = Job(config=resolve("classify", sets=texts), data=shards, out=out, resume=resume)
    return run.train(job, World(), StopFlag()).result


def events(out, name):
    return [event for event in records.read(out / "records.jsonl") if event["event"] == name]


@pytest.mark.parametrize(("steps", "epochs"), [(4, 1), (6, 1), (8, 2)])
def test_a_run_ends_after_its_steps_inside_an_epoch_or_at_its_end(shards, tmp_path, steps, epochs):
    result = train(shards, tmp_path / "run", train__max_steps=steps, train__epochs=9)
    assert [event["step"] for event in events(tmp_path / "run", "step")] == [*range(1, steps + 1)]
    assert len(events(tmp_path / "run", "epoch")) == result["epochs"] == epochs
    assert records.read_status(tmp_path / "run")["state"] == "done"


def test_epochs_end_a_run_before_its_steps_are_reached(shards, tmp_path):
    train(shards, tmp_path / "run", train__max_steps=100, train__epochs=1)
    assert len(events(tmp_path / "run", "step")) == 6


def test_more_steps_go_on_where_fewer_ended(shards, tmp_path):
    train(shards, tmp_path / "run", train__max_steps=6, train__epochs=9)
    train(shards, tmp_path / "run", train__max_steps=8, train__epochs=9)
    assert [event["step"] for event in events(tmp_path / "run", "step")] == [*range(1, 9)]


def test_a_run_without_evaluation_has_no_metrics_but_all_its_weights(shards, tmp_path):
    result = train(shards, tmp_path / "run", train__validate=False, train__epochs=1)
    assert result["val"] is None and result["test"] is None
    assert [event["val"] for event in events(tmp_path / "run", "epoch")] == [None]
    assert events(tmp_path / "run", "evaluation") == []
    assert (tmp_path / "run/checkpoints/last/model.safetensors").is_file()


def test_a_step_record_says_how_long_its_window_was(shards, tmp_path):
    train(shards, tmp_path / "run", train__validate=False, train__max_steps=2)
    for event in events(tmp_path / "run", "step"):
        assert event["images_per_s"] == pytest.approx(4 / event["seconds"])
        assert 0 <= event["data_seconds"] <= event["seconds"]


def test_steps_below_zero_are_refused():
    with pytest.raises(ConfigError, match=r"train\.max_steps"):
        resolve("classify", sets=["train.max_steps=-1"])
