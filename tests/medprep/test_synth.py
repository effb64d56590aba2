"""The built-in data set: honest labels, no shortcut, the same bytes for the same seed."""

from __future__ import annotations

import csv
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medprep.errors import UsageError
from medprep.png import encode_png
from medprep.synth import write_dataset
from medprep.synth.dataset import plan_pictures


def medprep(*words: object, code: int = 0) -> dict:
    """Run the command as a user does; gives the JSON object on the last line of stdout."""
    done = subprocess.run(
        [sys.executable, "-m", "medprep", *map(str, words), "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / "labels.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def digest(out: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(p for p in out.rglob("*") if p.is_file()):
        total.update(path.relative_to(out).as_posix().encode() + path.read_bytes())
    return total.hexdigest()


def auroc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Share of pairs in the right order, ties counted half."""
    above = positive[:, None] > negative[None, :]
    equal = positive[:, None] == negative[None, :]
    return float((above + 0.5 * equal).mean())


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synth") / "many"
    write_dataset(out, images=400, seed=11, size=128)
    return out


def test_no_simple_property_tells_the_classes_apart(many):
    features: dict[str, list[list[float]]] = {"glaucoma": [], "normal": []}
    names = ("width", "brightness", "red", "green", "blue", "contrast", "file size")
    for row in rows_of(many):
        path = many / row["path"]
        image = np.asarray(Image.open(path), np.float64)
        colour = image.mean(axis=(0, 1))
        features[row["label"]].append(
            [image.shape[1], image.mean(), *colour, image.std(), path.stat().st_size]
        )
    glaucoma, normal = (np.array(features[name]) for name in ("glaucoma", "normal"))
    assert len(glaucoma) == len(normal) == 200
    for column, name in enumerate(names):
        score = auroc(glaucoma[:, column], normal[:, column])
        assert 0.4 < score < 0.6, f"{name} alone gives AUROC {score:.3f}"


def test_the_cup_to_disc_ratio_does(many):
    eyes = list(plan_pictures(images=400, seed=11, image_format="png"))
    ratios = {
        label: np.array([p.eye.cup_to_disc for p in eyes if p.label == label])
        for label in ("glaucoma", "normal")
    }
    assert 0.96 < auroc(ratios["glaucoma"], ratios["normal"]) < 0.998  # separable, overlapping


def test_the_cup_is_visible_in_the_pixels(many):
    """Share of the disc's pale centre, measured on the picture, orders the classes."""
    scores: dict[str, list[float]] = {"glaucoma": [], "normal": []}
    for row in rows_of(many):
        blue = np.asarray(Image.open(many / row["path"]), np.float64)[..., 2]
        scores[row["label"]].append(float((blue > 0.7 * np.percentile(blue, 99.9)).sum()))
    assert auroc(np.array(scores["glaucoma"]), np.array(scores["normal"])) > 0.8


def test_patients_have_two_eyes_that_mostly_agree(many):
    patients: dict[str, list[dict[str, str]]] = {}
    for row in rows_of(many):
        patients.setdefault(row["group"], []).append(row)
    assert len(patients) == 200
    assert all(sorted(r["eye"] for r in rows) == ["left", "right"] for rows in patients.values())
    agree = sum(len({r["label"] for r in rows}) == 1 for rows in patients.values())
    assert 0.85 <= agree / len(patients) < 1.0
    assert all(
        row["path"].startswith(row["label"] + "/") for rows in patients.values() for row in rows
    )


@pytest.mark.parametrize("image_format", ["png", "jpeg"])
def test_a_seed_gives_the_same_bytes_and_another_seed_others(tmp_path, image_format):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        write_dataset(tmp_path / name, images=6, seed=seed, size=64, image_format=image_format)
    assert digest(tmp_path / "a") == digest(tmp_path / "b") != digest(tmp_path / "c")


def test_size_and_format_are_as_asked(tmp_path):
    report = write_dataset(tmp_path / "a", images=5, seed=0, size=96, image_format="jpeg")
    rows = rows_of(tmp_path / "a")
    assert report.images == len(rows) == 5 and sum(report.classes.values()) == 5
    assert min(report.classes.values()) >= 1
    for row in rows:
        with Image.open(tmp_path / "a" / row["path"]) as image:
            assert (image.format, image.size, image.mode) == ("JPEG", (96, 96), "RGB")


@pytest.mark.parametrize("images", [2, 3, 4, 7, 10])
def test_small_sets_hold_both_classes(images):
    labels = [p.label for p in plan_pictures(images=images, seed=1, image_format="png")]
    assert len(labels) == images
    assert abs(labels.count("glaucoma") - labels.count("normal")) <= 1


def test_png_holds_exactly_the_pixels(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (9, 7, 3)).astype(np.uint8)
    path = tmp_path / "a.png"
    path.write_bytes(encode_png(image))
    assert np.array_equal(np.asarray(Image.open(path)), image)


def test_a_folder_with_other_files_is_refused(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        write_dataset(out, images=2)
    with pytest.raises(UsageError, match=r"mine\.txt"):
        write_dataset(out, images=2, overwrite=True)
    assert (out / "mine.txt").read_text() == "mine"


def test_overwrite_replaces_an_earlier_set(tmp_path):
    out = tmp_path / "out"
    write_dataset(out, images=8, seed=1, size=64)
    with pytest.raises(UsageError, match="--overwrite"):
        write_dataset(out, images=4, seed=2, size=64)
    write_dataset(out, images=4, seed=2, size=64, overwrite=True)
    assert len(list(out.rglob("*.png"))) == len(rows_of(out)) == 4


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"images": 1}, "--images must be at least 2"),
        ({"size": 32}, r"--size must be 64\.\.4096 pixels, got 32"),
        ({"seed": -1}, "--seed must be 0 or more"),
        ({"kind": "mri"}, "unknown kind 'mri'"),
        ({"image_format": "bmp"}, "expected png or jpeg"),
    ],
)
def test_values_out_of_range_are_refused_before_anything_is_written(tmp_path, changed, message):
    with pytest.raises(UsageError, match=message):
        write_dataset(tmp_path / "out", **{"images": 4, **changed})
    assert not (tmp_path / "out").exists()


def test_the_command_reports_what_it_wrote(tmp_path):
    report = medprep("synth", tmp_path / "out", "--images", 4, "--size", 64)
    assert report["images"] == 4 and report["classes"] == {"glaucoma": 2, "normal": 2}
    assert report["bytes"] == sum(p.stat().st_size for p in (tmp_path / "out").rglob("*.png"))
    error = medprep("synth", tmp_path / "out", "--images", 4, "--size", 64, code=2)
    assert "--overwrite" in error["error"]
