"""How often a step asks the device for a number: each time a GPU's queue of work runs empty."""

from __future__ import annotations

import json
import threading

import pytest
import torch
import toy

from medtrain import run
from medtrain.config import resolve
from medtrain.distributed import World
from medtrain.job import Job
from medtrain.seed import StepRandomness
from medtrain.stop import StopFlag

READS = ("item", "tolist", "cpu", "numpy", "__bool__", "__int__", "__float__")


@pytest.fixture
def reads(monkeypatch):
    """For each step begun, the names of the tensor methods that read numbers since."""
    steps = []

    def noted(name):
        inner = getattr(torch.Tensor, name)

        def read(self, *arguments, **keywords):
            # The thread that reads ahead works on the CPU and makes nobody wait.
            if steps and threading.current_thread() is threading.main_thread():
                steps[-1].append(name)
            return inner(self, *arguments, **keywords)

        return read

    for name in READS:
        monkeypatch.setattr(torch.Tensor, name, noted(name))
    begin = StepRandomness.begin

    def begun(self, step):
        begin(self, step)
        steps.append([])

    monkeypatch.setattr(StepRandomness, "begin", begun)
    return steps


# fp16 asks again whether a gradient overflowed; that is known when the first answer has come.
@pytest.mark.parametrize(
    ("precision", "expected"), [("fp32", ["tolist"]), ("fp16", ["tolist", "__bool__"])]
)
def test_a_step_waits_for_the_device_once_after_all_its_work(tmp_path, reads, precision, expected):
    shards = toy.make_shards(tmp_path / "shards", counts={"train": 16, "val": 4})
    sets = toy.SMALL | {"train.epochs": 1, "train.precision": precision, "train.accumulate": 2}
    config = resolve("classify", sets=[f"{key}={json.dumps(value)}" for key, value in sets.items()])
    job = Job(config=config, data=shards, out=tmp_path / "run", verbosity=-1)
    run.train(job, World(), StopFlag())
    assert len(reads) == 2  # steps; after the last one is evaluated and saved
    assert reads[0] == expected
