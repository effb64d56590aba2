"""The running mean of the weights: what it is, that it is evaluated, saved and resumed."""

import json

import pytest
import torch
import toy
from safetensors.torch import load_file
from torch import nn

from medtrain import load, run
from medtrain.average import WeightAverage
from medtrain.config import resolve
from medtrain.distributed import World
from medtrain.job import Job
from medtrain.stop import StopFlag


def test_average_follows_the_weights_and_buffers():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    average = WeightAverage(model, 0.5)
    with torch.no_grad():
        model[0].weight.fill_(1.0)
    average.restart()
    for _ in range(20):
        with torch.no_grad():
            model[0].weight.add_(1.0)
            model[1].running_mean.add_(1.0)
        average.update()
    live = model[0].weight.detach().clone()
    with average.applied():
        # with decay 1/2 the mean of a ramp lags one step behind
        assert torch.allclose(model[0].weight, live - 1, atol=1e-3)
        assert torch.allclose(model[1].running_mean, torch.full((2,), 19.0), atol=1e-3)
    assert torch.equal(model[0].weight, live)


def test_first_updates_follow_faster():
    model = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(0.0)
    average = WeightAverage(model, 0.999)
    with torch.no_grad():
        model.weight.fill_(1.0)
    average.update()
    with average.applied():
        assert float(model.weight.detach()) == pytest.approx(1 - 2 / 11)


def train(shards, out, stop=None, **more):
    values = toy.SMALL | {"train.ema_decay": 0.9} | more
    texts = [f"{key}={json.dumps(value)}" for key, value in values.items()]
    job = Job(config=resolve("classify", sets=texts), data=shards, out=out)
    return run.train(job, World(), stop or StopFlag())


class StopAfter(StopFlag):
    def __init__(self, polls):
        self._left = polls

    @property
    def requested(self):
        self._left -= 1
        return 15 if self._left < 0 else 0


def test_averaged_weights_are_evaluated_saved_and_resumed_bit_for_bit(tmp_path):
    shards = toy.make_shards(tmp_path / "shards")
    whole = train(shards, tmp_path / "whole").result
    checkpoint = tmp_path / "whole" / "checkpoints" / "best"
    mean, live = (load_file(checkpoint / f"{n}.safetensors") for n in ("average", "model"))
    assert any(not torch.equal(mean[name], live[name]) for name in mean)
    assert load(tmp_path / "whole").evaluate()["val"].metrics["loss"] == whole["val"]["loss"]
    assert train(shards, tmp_path / "halves", StopAfter(3)).signal == 15
    again = train(shards, tmp_path / "halves").result
    assert again["test"] == whole["test"]
    for name in ("last", "best"):
        one, other = (
            tmp_path / run_name / "checkpoints" / name / "average.safetensors"
            for run_name in ("whole", "halves")
        )
        assert one.read_bytes() == other.read_bytes()
