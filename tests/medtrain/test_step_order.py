"""What a step does to gradients, in which order: unscale, clip, move once."""

from __future__ import annotations

import json

import pytest
import torch
import toy

from medtrain import records, run
from medtrain.config import resolve
from medtrain.distributed import World
from medtrain.job import Job
from medtrain.precision import Float16, Float32
from medtrain.stop import StopFlag
from medtrain.strategies import SerialStrategy

STEPS = 3


def train(shards, out, precision):
    sets = toy.EXACT | {"train.epochs": 1, "train.accumulate": 2, "train.precision": precision}
    texts = [f"{key}={json.dumps(value)}" for key, value in sets.items()]
    job = Job(config=resolve("classify", sets=texts), data=shards, out=out, verbosity=-1)
    run.train(job, World(), StopFlag())
    events = records.read(out / records.FILE_NAME)
    return [event["grad_norm"] for event in events if event["event"] == "step"]


@pytest.fixture
def order(monkeypatch):
    """The names of what was done, in order."""
    done = []

    def noted(owner, name, word):
        inner = getattr(owner, name)

        def wrapped(*arguments, **keywords):
            done.append(word)
            return inner(*arguments, **keywords)

        monkeypatch.setattr(owner, name, wrapped)

    noted(torch.Tensor, "backward", "backward")
    noted(Float16, "unscale", "unscale")
    noted(Float32, "unscale", "unscale")
    noted(SerialStrategy, "clip_grad_norm", "clip")
    noted(torch.optim.SGD, "step", "step")
    return done


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_gradients_are_unscaled_then_clipped_then_used_once(
    tmp_path, order, precision, monkeypatch
):
    # With its own first scale fp16 may leave the first steps out.
    monkeypatch.setattr("medtrain.precision._FIRST_SCALE", 2.0**10)
    monkeypatch.setattr("medtrain.precision.measured_slowdown", lambda dtype: 1.0)
    shards = toy.make_shards(tmp_path / "shards", counts={"train": 8 * STEPS, "val": 4})
    norms = train(shards, tmp_path / precision, precision)
    assert order == ["backward", "backward", "unscale", "clip", "step"] * STEPS
    assert len(norms) == STEPS and max(norms) < 100  # of gradients that were divided by the scale
