"""Whole runs in this process: what is written, resumed and refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import toy
from safetensors.torch import load_file

from medtrain import checkpoint, precision, records, run
from medtrain.config import resolve
from medtrain.distributed import World
from medtrain.errors import CheckpointError, ConfigError, UsageError, VerificationError
from medtrain.job import Job
from medtrain.stop import StopFlag

SETS = toy.SMALL | {"train.accumulate": 2, "model.dropout": 0.3}


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return toy.make_shards(tmp_path_factory.mktemp("data") / "shards", groups=True)


def job(shards, out, *, resume="auto", **sets):
    values = SETS | {key.replace("__", "."): value for key, value in sets.items()}
    texts = [f"{key}={json.dumps(value)}" for key, value in values.items()]
    return Job(config=resolve("classify", sets=texts), data=shards, out=out, resume=resume)


def train(the_job, stop=None):
    return run.train(the_job, World(), stop or StopFlag())


@pytest.fixture(scope="module")
def finished(shards, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "whole"
    return out, train(job(shards, out)).result


class StopAfter(StopFlag):
    """Asks to stop when polled for the n-th time, as a signal during that step would."""

    def __init__(self, polls):
        self._left = polls

    @property
    def requested(self):
        self._left -= 1
        return 15 if self._left < 0 else 0


def weights(out, which="last"):
    return load_file(out / "checkpoints" / which / "model.safetensors")


def same_weights(a, b):
    return a.keys() == b.keys() and all((a[name] == b[name]).all() for name in a)


def test_run_folder_holds_what_was_promised(finished):
    out, result = finished
    assert {"run", "parameters", "epochs", "images_per_s", "val", "test"} <= result.keys()
    assert result["epochs"] == 2 and result["parameters"] == 6322
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics == {"val": result["val"], "test": result["test"]}
    assert metrics["val"]["n"] == 11 and metrics["val"]["positive_class"] == "glaucoma"
    assert records.read_status(out)["state"] == "done"
    environment = json.loads((out / "environment.json").read_text())
    assert environment["global_batch"] == 8 and environment["world_size"] == 1
    assert environment["batch_statistics"] == {"images": 4, "over": "one batch, 2 accumulated"}
    assert resolve(file=out / "config.yaml").train.accumulate == 2


def test_checkpoint_holds_all_that_going_on_needs(shards, finished):
    out, _ = finished
    saved = checkpoint.load(out / "checkpoints" / "last")
    state = saved.state
    assert state["progress"]["epoch"] == 2 and state["progress"]["position"] == 0  # in samples
    assert {"schedule", "precision", "average"} <= state.keys()  # the scaler is the precision's
    assert state["random"]["seed"] == state["config"]["seed"] == 42
    manifest = json.loads((shards / "manifest.json").read_text())
    assert state["data"]["digest"] == manifest["digest"]
    assert resolve(file=out / "config.yaml").to_dict() == state["config"]
    assert {"torch", "numpy", "medprep"} <= state["versions"].keys()
    assert saved.tensors.model.keys() and saved.tensors.optimizer.keys()


def test_records_tell_every_step_and_epoch(finished):
    out, _ = finished
    events = list(records.read(out / "records.jsonl"))
    names = [event["event"] for event in events]
    steps = (["step"] * 3 + ["epoch"]) * 2
    assert names == ["start", *steps, "memory", "ranks", "evaluation", "evaluation", "end"]
    epoch = events[4]
    assert epoch["epoch"] == 1 and epoch["val"]["n"] == 11
    train = {"loss", "accuracy", "images_per_s", "seconds", "data_seconds"}
    assert train <= epoch["train"].keys()
    assert {"loss", "grad_norm", "learning_rate", "images_per_s", "data_seconds"} <= events[
        1
    ].keys()


def test_predictions_give_the_reported_numbers(finished):
    out, result = finished
    with np.load(out / "predictions-val.npz", allow_pickle=False) as rows:
        assert rows["ids"].tolist() == [f"val/{i}.png" for i in range(11)]
        assert rows["groups"][3] == "p1" and rows["logits"].shape == (11, 2)
        right = (rows["logits"].argmax(1) == rows["labels"]).mean()
    assert result["val"]["accuracy"] == pytest.approx(right)


def test_same_seed_gives_the_same_bits(shards, finished, tmp_path):
    train(job(shards, tmp_path / "again"))
    assert same_weights(weights(tmp_path / "again"), weights(finished[0]))


def test_another_seed_gives_other_weights(shards, finished, tmp_path):
    train(job(shards, tmp_path / "other", seed=1))
    assert not same_weights(weights(tmp_path / "other"), weights(finished[0]))


@pytest.mark.parametrize(
    "stops",
    [(1,), (3,), (4,), (16,), (18,), (0, 0, 1, 1)],
    ids=["middle", "last", "validating", "evaluating-val", "evaluating-test", "often"],
)
def test_stopped_and_resumed_run_equals_the_undisturbed_one_bit_for_bit(
    shards, finished, tmp_path, stops
):
    out = tmp_path / "stopped"
    for polls in stops:
        assert train(job(shards, out), StopAfter(polls)).signal == 15
        assert records.read_status(out)["state"] == "stopped"
        assert not (out / "metrics.json").exists()
    outcome = train(job(shards, out))
    assert outcome.signal == 0
    whole, result = finished
    assert same_weights(weights(out), weights(whole))
    assert same_weights(weights(out, "best"), weights(whole, "best"))
    assert outcome.result["test"] == result["test"]
    events, expected = (
        [(e["epoch"], e["train"]["loss"], e["val"]["loss"]) for e in records.read(path)
         if e["event"] == "epoch"]
        for path in (out / "records.jsonl", whole / "records.jsonl")
    )  # fmt: skip
    assert events == expected


def test_resume_at_an_epoch_boundary_equals_the_undisturbed_run(shards, finished, tmp_path):
    constant = {"optim__schedule": "none"}  # the cosine's length is part of the schedule
    train(job(shards, tmp_path / "whole", **constant))
    train(job(shards, tmp_path / "halves", train__epochs=1, **constant))
    train(job(shards, tmp_path / "halves", **constant))
    assert same_weights(weights(tmp_path / "halves"), weights(tmp_path / "whole"))


def test_torn_checkpoint_is_named_and_the_previous_one_taken(shards, finished, tmp_path, capsys):
    out = tmp_path / "torn"
    shutil.copytree(finished[0], out)
    path = out / "checkpoints" / "last" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-7])
    outcome = train(job(shards, out))
    assert "model.safetensors: torn" in capsys.readouterr().err
    assert same_weights(weights(out), weights(finished[0]))  # the second epoch was done again
    assert outcome.result["test"] == finished[1]["test"]


def test_resume_on_other_data_is_refused(finished, tmp_path):
    other = toy.make_shards(tmp_path / "other", seed=5)
    with pytest.raises(CheckpointError, match="trained on data with digest") as caught:
        train(job(other, finished[0]))
    assert caught.value.exit_code == 4


def test_resume_with_another_learning_rate_is_refused(shards, finished):
    with pytest.raises(ConfigError, match=r"another optim\.learning_rate"):
        train(job(shards, finished[0], optim__learning_rate=0.1))


def test_resume_never_starts_anew(shards, finished, tmp_path):
    out = tmp_path / "anew"
    shutil.copytree(finished[0], out)
    train(job(shards, out, resume="never", train__epochs=1))
    assert [e["event"] for e in records.read(out / "records.jsonl")].count("epoch") == 1


def test_resume_from_another_run_goes_on_in_its_own_folder(shards, finished, tmp_path):
    out = tmp_path / "longer"
    outcome = train(job(shards, out, resume=str(finished[0]), train__epochs=3))
    assert outcome.result["epochs"] == 3
    events = [e["epoch"] for e in records.read(out / "records.jsonl") if e["event"] == "epoch"]
    assert events == [3]


def test_early_stopping_waits_for_its_patience(shards, tmp_path):
    sets = {"train__epochs": 30, "train__patience": 2, "optim__learning_rate": 1e-12}
    outcome = train(job(shards, tmp_path / "flat", model__norm="frozen", **sets))
    # weights that hardly move never improve the AUROC after the first epoch
    assert outcome.result["epochs"] < 30
    assert outcome.result["epochs"] - outcome.result["best_epoch"] == 2


def test_best_epoch_is_the_one_with_the_best_watched_value(shards, tmp_path):
    sets = {"train__epochs": 4, "optim__learning_rate": 0.02}
    outcome = train(job(shards, tmp_path / "best", **sets))
    losses = [
        e["val"]["loss"]
        for e in records.read(tmp_path / "best" / "records.jsonl")
        if e["event"] == "epoch"
    ]
    assert outcome.result["best_epoch"] == int(np.argmin(losses)) + 1
    assert outcome.result["val"]["loss"] == min(losses)


def test_unlabelled_samples_are_left_out(tmp_path):
    labels = [0, 1, 0, 1, -1, 0, 1, 0, 1, -1, -1]
    shards = toy.make_shards(
        tmp_path / "d", counts={"train": 11, "val": 11}, labels_of={"train": labels, "val": labels}
    )
    outcome = train(job(shards, tmp_path / "run"))
    assert outcome.result["val"]["n"] == 8
    assert outcome.result["test"] is None


def test_one_class_only_is_refused(tmp_path):
    shards = toy.make_shards(tmp_path / "d", labels_of={"train": [1] * 23})
    with pytest.raises(UsageError, match=r"one class only \(normal\) in the split 'train'") as e:
        run.check(job(shards, tmp_path / "run"))
    assert e.value.exit_code == 2


def test_missing_data_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no manifest") as caught:
        run.check(job(tmp_path / "nothing", tmp_path / "run"))
    assert caught.value.exit_code == 2


def test_shard_that_differs_from_the_manifest_is_refused(tmp_path):
    shards = toy.make_shards(tmp_path / "d")
    with (shards / "train-00000.npz").open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(VerificationError, match="but the manifest says") as caught:
        run.check(job(shards, tmp_path / "run"))
    assert caught.value.exit_code == 4


def test_failed_run_says_so_in_its_status(shards, tmp_path):
    with pytest.raises(ConfigError):
        train(job(shards, tmp_path / "bad", model__name="nothing"))
    status = records.read_status(tmp_path / "bad")
    assert status["state"] == "failed" and "unknown model 'nothing'" in status["message"]


def test_refused_resumption_leaves_a_finished_run_as_it_was(shards, tmp_path):
    out = tmp_path / "run"
    train(job(shards, out, train__epochs=1))
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    with pytest.raises(ConfigError, match="cannot resume"):
        train(job(shards, out, train__epochs=1, seed=7))
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} == before
    with pytest.raises(ConfigError):
        train(job(shards, out, resume="never", model__name="nothing"))
    assert records.read_status(out)["state"] == "done"


def test_three_classes_and_grey_images_train(tmp_path):
    shards = toy.make_shards(tmp_path / "d", classes=("a", "b", "c"), channels=1)
    outcome = train(job(shards, tmp_path / "run", train__epochs=1))
    assert np.shape(outcome.result["val"]["confusion"]) == (3, 3)
    assert outcome.result["val"]["positive_class"] is None


def test_channels_last_and_bf16_change_rounding_only(shards, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(precision, "measured_slowdown", lambda dtype: 3.04)
    losses = {}
    for name, sets in {
        "plain": {},
        "channels_last": {"model__channels_last": True},
        "bf16": {"train__precision": "bf16"},
    }.items():
        train(job(shards, tmp_path / name, train__epochs=1, model__dropout=0.0, **sets))
        events = records.read(tmp_path / name / "records.jsonl")
        losses[name] = next(e["train"]["loss"] for e in events if e["event"] == "epoch")
    assert losses["channels_last"] == pytest.approx(losses["plain"], rel=1e-5)
    assert losses["bf16"] == pytest.approx(losses["plain"], rel=0.02)  # 8 bits of mantissa
    said = capsys.readouterr().err
    assert said.count("warning: bf16 is 3.0 times slower than fp32 on this CPU") == 1


def test_learning_happens(tmp_path):
    shards = toy.make_shards(tmp_path / "d", counts={"train": 60, "val": 30})
    sets = {"train__epochs": 8, "optim__learning_rate": 0.01, "data__augment": False}
    outcome = train(job(shards, tmp_path / "run", **sets))
    assert outcome.result["val"]["auroc"] > 0.9
    assert Path(outcome.result["run"]) == tmp_path / "run"
