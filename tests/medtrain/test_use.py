"""Using a trained run: predict raw images, evaluate, report, the command line, the interface."""

import json

import click.testing
import numpy as np
import pytest
import toy
from safetensors import SafetensorError

import medtrain
from medprep import pipeline
from medprep.errors import DecodeError
from medprep.kernels import make_kernel
from medtrain import run
from medtrain.cli import main
from medtrain.cli.train import _summary
from medtrain.config import resolve
from medtrain.distributed import World
from medtrain.errors import UsageError, VerificationError
from medtrain.job import Job
from medtrain.stop import StopFlag
from medtrain.trained import Trained, encode_png


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Raw test images as files, in the order of the split `test`."""
    folder = tmp_path_factory.mktemp("raw")
    images, _ = toy.images_and_labels(9, seed=77, side=50)
    paths = [folder / f"{at}.png" for at in range(9)]
    for path, image in zip(paths, images, strict=True):
        path.write_bytes(encode_png(image))
    return paths, images


@pytest.fixture(scope="module")
def trained(raw, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    spec = pipeline.from_json(toy.SPEC)
    kernel = make_kernel("rust", spec)
    stored = np.stack([kernel(path.read_bytes()) for path in raw[0]])
    shards = toy.make_shards(
        folder / "shards",
        counts={"train": 23, "val": 11, "test": 9},
        images_of={"test": stored},
        fingerprint=spec.fingerprint(),
    )
    sets = [f"{key}={json.dumps(value)}" for key, value in toy.SMALL.items()]
    job = Job(config=resolve("classify", sets=sets), data=shards, out=folder / "run")
    run.train(job, World(), StopFlag())
    return folder / "run"


def command(*arguments):
    return click.testing.CliRunner().invoke(main, [str(a) for a in arguments])


def softmax(logits):
    exponents = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return exponents / exponents.sum(axis=1, keepdims=True)


def test_predicting_a_raw_image_equals_evaluating_its_stored_sample(trained, raw):
    expected = softmax(np.load(trained / "predictions-test.npz")["logits"])
    found = medtrain.load(trained).predict(raw[0])
    probabilities = [[p.probabilities["glaucoma"], p.probabilities["normal"]] for p in found]
    # other batches than in evaluation, so float32 sums may be grouped differently
    assert np.abs(np.array(probabilities) - expected).max() < 1e-5
    assert [p.label for p in found] == [
        ("glaucoma", "normal")[best] for best in expected.argmax(axis=1)
    ]


def test_arrays_and_files_give_the_same_prediction(trained, raw):
    paths, images = raw
    model = Trained(trained)
    one, other = model.predict(paths[0])[0], model.predict(images[0])[0]
    assert one.probabilities == other.probabilities
    assert (one.path, other.path) == (str(paths[0]), "array[0]")


def test_one_image_at_a_time_equals_a_batch(trained, raw):
    model = Trained(trained)
    batch = model.predict(raw[0])
    single = model.predict(raw[0], batch_size=1)
    assert [p.probability for p in single] == pytest.approx(
        [p.probability for p in batch], abs=1e-6
    )


def test_arrays_of_another_kind_are_refused(trained):
    with pytest.raises(UsageError, match=r"must be \(H, W\) or \(H, W, 3\) uint8, got \(4, 4\) fl"):
        Trained(trained).predict(np.zeros((4, 4)))


def test_broken_image_raises_with_its_path(trained, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    with pytest.raises(DecodeError) as caught:
        Trained(trained).predict(bad)
    assert caught.value.path == str(bad)


def test_predict_command_goes_on_after_a_broken_image(trained, raw, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no image")
    done = command("predict", trained, raw[0][0], bad, tmp_path / "none.png", "--json")
    assert done.exit_code == 3
    result = json.loads(done.stdout.splitlines()[-1])
    assert [p["path"] for p in result["predictions"]] == [str(raw[0][0])]
    assert set(result["predictions"][0]) == {"path", "label", "probability", "probabilities"}
    assert [f["path"] for f in result["failed"]] == [str(bad), str(tmp_path / "none.png")]


def test_evaluate_command_gives_the_numbers_of_training(trained):
    done = command("evaluate", trained, "--json")
    assert done.exit_code == 0, done.output
    saved = json.loads((trained / "metrics.json").read_text())
    assert json.loads(done.stdout.splitlines()[-1]) == saved
    keys = {"loss", "accuracy", "auroc", "sensitivity", "specificity", "f1", "confusion"}
    assert keys <= saved["test"].keys()


def test_evaluate_refuses_images_prepared_differently(trained, tmp_path):
    other = toy.make_shards(tmp_path / "other", fingerprint="0" * 64)
    with pytest.raises(VerificationError, match="images were prepared differently") as caught:
        Trained(trained).evaluate(other)
    assert caught.value.exit_code == 4


def test_evaluate_refuses_other_classes(trained, tmp_path):
    fingerprint = pipeline.from_json(toy.SPEC).fingerprint()
    other = toy.make_shards(tmp_path / "o", classes=("no", "yes"), fingerprint=fingerprint)
    with pytest.raises(UsageError, match="classes are no, yes; the run knows glaucoma, normal"):
        Trained(trained).evaluate(other)


def test_evaluate_command_names_a_missing_split(trained):
    done = command("evaluate", trained, "--split", "holdout")
    assert done.exit_code == 2
    assert "no labelled samples in holdout" in done.stderr


def test_folder_that_is_no_run_is_refused(tmp_path):
    done = command("predict", tmp_path, "x.png")
    assert done.exit_code == 2
    assert "so this is no run folder" in done.stderr


def test_altered_best_weights_are_refused(trained, tmp_path):
    import shutil

    copy = tmp_path / "run"
    shutil.copytree(trained, copy)
    path = copy / "checkpoints" / "best" / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    done = command("evaluate", copy)
    assert done.exit_code == 4
    assert "model.safetensors: altered" in done.stderr


def test_report_command_writes_a_page(trained, tmp_path):
    done = command("report", trained, "--out", tmp_path / "r.html")
    assert done.exit_code == 0, done.output
    assert "glaucoma" in (tmp_path / "r.html").read_text()


def test_interface_trains_in_a_process_of_its_own(trained, tmp_path):
    shards = json.loads((trained / "checkpoints/best/state.json").read_text())["data"]["path"]
    sets = {key: value for key, value in toy.SMALL.items() if key != "train.epochs"}
    result = medtrain.train("classify", shards, out=tmp_path / "run", epochs=1, sets=sets)
    assert result["epochs"] == 1 and result["val"]["n"] == 11
    with pytest.raises(medtrain.errors.MedprepError, match="unknown recipe 'clasify'") as caught:
        medtrain.train("clasify", shards)
    assert caught.value.exit_code == 2


def test_a_place_that_cannot_be_written_gives_one_line_and_exit_74(trained, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    inside = tmp_path / "file" / "run"
    shards = trained.parent / "shards"
    for words in (
        ("serial", "--recipe", "classify", "--data", shards, "--out", inside, "--procs", 1),
        ("ddp", "--recipe", "classify", "--data", shards, "--out", inside, "--procs", 2),
        ("report", trained, "--out", tmp_path / "file" / "page.html"),
    ):
        result = command(*words)
        assert (result.exit_code, result.stdout) == (74, ""), result.output
        assert len(result.stderr.splitlines()) == 1 and str(tmp_path / "file") in result.stderr


def test_a_full_disk_at_a_checkpoint_is_storage_trouble(trained, tmp_path, monkeypatch):
    def full(*_):
        raise SafetensorError("Error while serializing: I/O error: No space left on device")

    monkeypatch.setattr("medtrain.checkpoint.save_file", full)
    shards = trained.parent / "shards"
    words = ("--data", shards, "--out", tmp_path / "run", "--epochs", 1, "--procs", 1)
    sets = [f"--set={key}={json.dumps(value)}" for key, value in toy.SMALL.items()]
    result = command("serial", "--recipe", "classify", *words, *sets)
    assert result.exit_code == 74, result.output
    assert "No space left on device" in result.stderr and "still whole" in result.stderr


def test_a_mistyped_flag_gives_one_line(trained):
    result = command("evaluate", trained, "--dta", "x")
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1 and "see `" in result.stderr


def test_the_summary_shows_a_measure_that_is_zero():
    result = {"run": "r", "epochs": 1, "images_per_s": None, "test": None}
    result["val"] = {"accuracy": 0.5, "auroc": 0.0}
    assert "auroc 0.0000" in _summary(run.Outcome(result, 0))
