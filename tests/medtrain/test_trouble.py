"""Steps that must not be taken and samples that must not be used."""

import json

import numpy as np
import pytest
import torch
import toy

from medtrain import precision, records, run
from medtrain.config import resolve
from medtrain.data import Trouble
from medtrain.distributed import World
from medtrain.errors import DivergedError, OutOfMemoryError, VerificationError
from medtrain.evaluation import _Rounds
from medtrain.job import Job
from medtrain.settle import settle
from medtrain.stop import StopFlag
from medtrain.strategies import SerialStrategy
from medtrain.tasks import Classify


@pytest.fixture
def shards(tmp_path):
    return toy.make_shards(tmp_path / "shards")


def train(shards, out, **sets):
    values = toy.SMALL | {key.replace("__", "."): value for key, value in sets.items()}
    texts = [f"{key}={json.dumps(value)}" for key, value in values.items()]
    job = Job(config=resolve("classify", sets=texts), data=shards, out=out)
    return run.train(job, World(), StopFlag()).result


def events(out, name):
    return [event for event in records.read(out / "records.jsonl") if event["event"] == name]


@pytest.fixture
def poisoned(monkeypatch):
    """Makes the loss of every batch with the chosen rows NaN; all rows when none are chosen."""
    chosen: set[int] = set()
    forward = Classify.forward

    def spoilt(self, model, batch):
        if not chosen or chosen & set(batch.index.tolist()):
            batch.images.fill_(0)
            hook = model.register_forward_pre_hook(lambda _, x: (x[0] * float("nan"),))
            try:
                return forward(self, model, batch)
            finally:
                hook.remove()
        return forward(self, model, batch)

    monkeypatch.setattr(Classify, "forward", spoilt)
    return chosen


def test_step_with_a_nan_loss_is_not_taken_and_leaves_no_trace(shards, tmp_path, poisoned):
    poisoned.add(3)
    result = train(shards, tmp_path / "run", train__ema_decay=0.9)
    bad = events(tmp_path / "run", "bad_step")
    assert [event["epoch"] for event in bad] == [1, 2]
    lines = (tmp_path / "run" / "bad_batches.jsonl").read_text().splitlines()
    assert all("train/3.png" in json.loads(line)["ids"] for line in lines) and len(lines) == 2
    epoch = events(tmp_path / "run", "epoch")[-1]
    assert epoch["train"]["bad_steps"] == 2
    # neither weights, nor running statistics, nor the average took the NaN in
    assert np.isfinite(epoch["train"]["loss"]) and np.isfinite(result["val"]["loss"])
    assert result["val"]["n"] == 11


def test_bad_step_changes_neither_weights_nor_optimizer(shards, tmp_path, poisoned):
    with pytest.raises(DivergedError):
        train(shards, tmp_path / "run", train__max_bad_steps=4, checkpoint__every_steps=1)
    states = sorted((tmp_path / "run" / "checkpoints").iterdir())
    assert [path.name for path in states] == ["last", "previous"]
    one, other = (path / "model.safetensors" for path in states)
    assert one.read_bytes() == other.read_bytes()
    assert (states[0] / "optimizer.safetensors").stat().st_size < 1000  # nothing in it yet


def test_too_many_bad_steps_in_a_row_end_the_run_with_their_samples(shards, tmp_path, poisoned):
    with pytest.raises(DivergedError, match="3 steps in a row had a loss or gradient") as caught:
        train(shards, tmp_path / "run", train__max_bad_steps=3)
    assert caught.value.exit_code == 1 and "lower optim.learning_rate" in str(caught.value)
    lines = (tmp_path / "run" / "bad_batches.jsonl").read_text().splitlines()
    assert len(lines) == 3 and len(json.loads(lines[0])["ids"]) == 4
    assert records.read_status(tmp_path / "run")["state"] == "failed"


def test_fp16_that_overflows_unscaled_ends_the_run_too(shards, tmp_path, monkeypatch):
    """Two steps halve the scale to 1; then the gradients themselves are to blame."""
    backward = torch.Tensor.backward

    def overflowing(self, *arguments):
        backward(self * 1e38, *arguments)

    monkeypatch.setattr(torch.Tensor, "backward", overflowing)
    monkeypatch.setattr(precision, "_FIRST_SCALE", 4.0)
    with pytest.raises(DivergedError, match="3 steps in a row had a loss or gradient"):
        train(shards, tmp_path / "run", train__precision="fp16", train__max_bad_steps=3)
    assert [event["step"] for event in events(tmp_path / "run", "bad_step")] == [3, 4]


def test_corrupt_sample_ends_the_run_and_is_named(shards, tmp_path):
    toy.flip_pixel(shards, "train", 17)
    with pytest.raises(VerificationError, match=r"pixels of train/17\.png are not those") as caught:
        train(shards, tmp_path / "run")
    assert caught.value.exit_code == 4 and "--on-corrupt skip" in str(caught.value)


def test_corrupt_sample_of_the_evaluation_ends_the_run_too(shards, tmp_path):
    toy.flip_pixel(shards, "val", 2)
    with pytest.raises(VerificationError, match=r"split 'val'.*val/2\.png"):
        train(shards, tmp_path / "run")


def test_corrupt_sample_ends_a_long_evaluation_soon_after_it_is_met(shards, tmp_path, monkeypatch):
    evaluated = []
    step = SerialStrategy.evaluation_step

    def counted(self, task, model, batch, precision):
        evaluated.append(batch)
        return step(self, task, model, batch, precision)

    monkeypatch.setattr(SerialStrategy, "evaluation_step", counted)
    toy.flip_pixel(shards, "val", 1)
    with pytest.raises(VerificationError, match=r"split 'val'.*val/1\.png"):
        train(shards, tmp_path / "run", data__evaluation_batch_size=1)
    assert len(evaluated) == 3  # of 11: asked after the first, and then after two more


def test_ranks_ask_each_other_every_five_seconds_of_an_evaluation():
    seconds = [0.0]
    rounds = _Rounds(lambda: seconds[0])
    asked_at = []
    for _ in range(60):
        seconds[0] += 1.0  # a batch
        if rounds.is_time_to_ask():
            asked_at.append(seconds[0])
            rounds.asked(rounds.milliseconds())
    assert asked_at[:6] == [1.0, 3.0, 7.0, 12.0, 17.0, 22.0]
    rounds.asked(60_000)  # another rank was far slower
    assert rounds.is_time_to_ask()


def test_processes_of_one_pipeline_that_read_different_pixels_end_the_run(tmp_path):
    class TwoStages:
        """Of which only the other one has found row 4 damaged, and both row 7."""

        world_size, data_degree = 2, 1

        def gather(self, rows):
            if "text" in rows:
                return rows
            return {"index": np.concatenate([rows["index"], np.array([4, 7])])}

    trouble = Trouble(split=None, on_corrupt="skip")
    trouble.add([7])
    with pytest.raises(VerificationError, match="have read different pixels from the same file"):
        settle(TwoStages(), trouble)
    trouble.add([4, 7])
    assert settle(TwoStages(), trouble) == [4, 7]


def test_batch_that_no_stage_of_a_pipeline_can_read_gives_no_rows():
    from medtrain.strategies.pipeline import PipelineStrategy

    class Task:
        def no_rows(self):
            return {"index": np.zeros(0)}

    stage = PipelineStrategy(torch.device("cpu"), chain=list, sample=(3, 4, 4), batch_size=2)
    assert len(stage.evaluation_step(Task(), None, None, None)["index"]) == 0


def test_corrupt_samples_are_left_out_counted_and_recorded(shards, tmp_path):
    toy.flip_pixel(shards, "train", 17)
    toy.flip_pixel(shards, "val", 2)
    out = tmp_path / "run"
    result = train(shards, out, data__on_corrupt="skip", data__batch_size=23)
    assert result["val"]["n"] == 10 and result["epochs"] == 2
    known = json.loads((out / "corrupt.json").read_text())["samples"]
    assert known == [
        {"split": "train", "id": "train/17.png"},
        {"split": "val", "id": "val/2.png"},
    ]
    assert len(events(out, "corrupt")) == 2  # each is told once, not in every epoch
    state = json.loads((out / "checkpoints/last/state.json").read_text())
    assert state["progress"]["step"] == 2


def test_batch_of_corrupt_samples_only_is_no_step(shards, tmp_path):
    for row in range(23):
        toy.flip_pixel(shards, "train", row)
    result = train(shards, tmp_path / "run", data__on_corrupt="skip", train__epochs=1)
    assert result["epochs"] == 1
    optimizer = tmp_path / "run" / "checkpoints" / "last" / "optimizer.safetensors"
    assert optimizer.stat().st_size < 1000  # never stepped


def test_rows_are_not_checked_where_that_is_not_wanted(shards, tmp_path):
    toy.flip_pixel(shards, "train", 17)
    assert train(shards, tmp_path / "run", data__check_rows="never", train__epochs=1)["epochs"] == 1


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    ],
    ids=["python", "cpu", "cuda"],
)
def test_memory_that_runs_out_is_explained_with_what_would_fit(
    shards, tmp_path, monkeypatch, error
):
    def full(*_):
        raise error

    monkeypatch.setattr(SerialStrategy, "train_step", full)
    with pytest.raises(OutOfMemoryError, match="out of memory at a batch size of 4") as caught:
        train(shards, tmp_path / "run")
    text = str(caught.value)
    assert "each sample about 0.00" in text and "GiB are there for samples" in text
    assert "--batch-size 2 --accumulate 2 keeps the global batch" in text
    assert records.read_status(tmp_path / "run")["state"] == "failed"


def test_a_model_that_has_no_room_is_said_before_training(shards, tmp_path, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(SerialStrategy, "prepare", full)
    with pytest.raises(OutOfMemoryError, match="before the first step") as caught:
        train(shards, tmp_path / "run")
    assert "CUDA out of memory" in str(caught.value)
    assert "the model itself does not fit; use a smaller model" in str(caught.value)
    assert records.read_status(tmp_path / "run")["state"] == "failed"


def test_what_several_ranks_say_is_joined_and_said_once():
    class Three:
        """Gathers as if two more ranks had said the same, and something else."""

        def gather(self, rows):
            if "text" not in rows:
                return rows
            more = np.frombuffer(b"the shard is missing\n", np.uint8)
            return {"text": np.concatenate([rows["text"], rows["text"], more])}

    trouble = Trouble(split=None, on_corrupt="fail")
    trouble.fail(VerificationError("damaged shard"))
    with pytest.raises(VerificationError, match="damaged shard; the shard is missing; `medprep"):
        settle(Three(), trouble)
    assert not trouble
