"""`train.compile`: the same training up to rounding, under the names of the plain model.

With the backend `aot_eager`, which traces forward and backward and replays them: the same way
through the product as `inductor`, whose C++ compiler takes a minute of two cores.
"""

from __future__ import annotations

import json
import shutil

import pytest
import torch
import toy
from safetensors.torch import load_file
from torch import nn

from medtrain import records, run
from medtrain.compiled import compile_in_place
from medtrain.config import TrainConfig, resolve
from medtrain.distributed import World
from medtrain.errors import ConfigError
from medtrain.job import Job
from medtrain.stop import StopFlag

ROUNDING = 2e-6  # weights under SGD, as in tests/distributed/test_parity.py
TRACED = {"train.compile": True, "train.compile_backend": "aot_eager"}
CPU = torch.device("cpu")


def train(shards, out, **sets):
    texts = [f"{key}={json.dumps(value)}" for key, value in (toy.EXACT | sets).items()]
    job = Job(config=resolve("classify", sets=texts), data=shards, out=out, verbosity=-1)
    return run.train(job, World(), StopFlag()).result


def traced_frames():
    return torch._dynamo.utils.counters["frames"]["ok"]


def weights(out, which="last"):
    return load_file(out / "checkpoints" / which / "model.safetensors")


def furthest(one, other):
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two eager epochs; one compiled epoch of the same run; and that one gone on with eagerly."""
    folder = tmp_path_factory.mktemp("compiled")
    shards = toy.make_shards(folder / "shards", counts={"train": 10, "val": 3})
    train(shards, folder / "eager")
    before = traced_frames()
    train(shards, folder / "compiled", **{"train.max_steps": 3}, **TRACED)
    assert traced_frames() > before  # or the same run is compared with itself
    torch._dynamo.reset()
    shutil.copytree(folder / "compiled", folder / "gone-on")
    before = traced_frames()
    train(shards, folder / "gone-on")
    assert traced_frames() == before
    return folder


def test_compiled_training_is_the_eager_one_up_to_rounding(folder):
    eager, compiled = weights(folder / "eager", "previous"), weights(folder / "compiled")
    assert furthest(eager, compiled) < ROUNDING  # the names of the plain model, too
    assert furthest(eager, weights(folder / "eager")) > 1e-3  # what an epoch moves


def test_compiled_evaluation_is_the_eager_one_up_to_rounding(folder):
    one, other = (
        next(e for e in records.read(folder / out / records.FILE_NAME) if e["event"] == "epoch")
        for out in ("eager", "compiled")
    )
    assert other["val"]["loss"] == pytest.approx(one["val"]["loss"], rel=1e-5)


def test_checkpoint_of_a_compiled_run_goes_on_uncompiled(folder):
    assert furthest(weights(folder / "eager"), weights(folder / "gone-on")) < ROUNDING


def test_compiling_leaves_the_names_of_the_weights_alone():
    model = nn.Sequential(nn.Linear(2, 2))
    names = list(model.state_dict())
    compile_in_place(TrainConfig(compile=True, compile_backend="eager"), model, model, CPU)
    assert list(model.state_dict()) == names


def test_missing_compiler_is_said_before_anything_is_trained(monkeypatch):
    from torch._inductor import cpp_builder, exc

    def none() -> str:
        raise exc.InvalidCxxCompiler

    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", none)
    model = nn.Linear(2, 2)
    with pytest.raises(ConfigError, match=r"train\.compile=true: .* found no C\+\+ compiler"):
        compile_in_place(TrainConfig(compile=True), model, model, CPU)


def test_unknown_backend_is_refused_with_a_suggestion():
    with pytest.raises(ConfigError, match=r"train\.compile_backend must be one of .*aot_eager"):
        resolve("classify", sets=["train.compile_backend=aot-eager"])
