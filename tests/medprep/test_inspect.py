"""The summary of a finished data set, and a contact sheet that is safe to open."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from annotated_collections import annotate, write_annotated
from PIL import Image
from tiny_collections import write_classes

from medprep import shard
from medprep.contact_sheet import render_html
from medprep.errors import UsageError, VerificationError
from medprep.inspect import (
    choose_pictures,
    class_table,
    pipeline_text,
    reduce_image,
    render,
    summarise,
)
from medprep.manifest import Manifest, ShardEntry, SplitEntry
from medprep.types import Box, ImageShape


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


SPEC = {
    "steps": [
        {"step": "decode", "channels": "rgb"},
        {"step": "resize", "height": 40, "width": 40, "mode": "stretch", "interpolation": "area"},
        {"step": "clahe", "clip_limit": 2.0, "tiles": 8},
        {"step": "gamma", "gamma": 1.2},
        {"step": "median", "size": 3},
    ],
    "dtype": "uint8",
}
EVIL = '<script>alert("x")</script>'


def write_shard(out: Path, name: str, labels: list[int], ids: list[str], groups: list[str]):
    rng = np.random.default_rng(len(labels))
    images = rng.integers(0, 256, (len(labels), 40, 40, 3)).astype(np.uint8)
    np.savez(
        out / name,
        images=images,
        labels=np.array(labels, np.int64),
        ids=np.array(ids),
        group=np.array(groups),
    )
    data = (out / name).read_bytes()
    return ShardEntry(
        name=name,
        split=name.split("-")[0],
        index=0,
        count=len(labels),
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
    )


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Six samples in two splits, one without a label, one failed input with a hostile name."""
    shards = (
        write_shard(
            tmp_path,
            "train-00000.npz",
            [0, 1, 1, -1],
            ["a/1.png", f"b/{EVIL}.png", "b/3.png", "u/4.png"],
            ["p1", "p2", "p2", ""],
        ),
        write_shard(tmp_path, "val-00000.npz", [0, 0], ["a/5.png", "a/6.png"], ["p3", "p4"]),
    )
    manifest = Manifest(
        digest="d" * 64,
        classes=("glaucoma", f"b{EVIL}"),
        pipeline=SPEC,
        fingerprint="f" * 64,
        image=ImageShape(height=40, width=40, channels=3),
        channel_mean=(101.26, 60.0, 30.0),
        channel_std=(10.0, 20.0, 30.04),
        splits={
            "train": SplitEntry(samples=4, shards=1, class_counts=(1, 2), unlabelled=1),
            "val": SplitEntry(samples=2, shards=1, class_counts=(2, 0), unlabelled=0),
        },
        shards=shards,
        failed=1,
        layout="folder",
        seed=7,
        private=False,
    )
    (tmp_path / "manifest.json").write_text(json.dumps(manifest.to_json()))
    failure = {"path": f"b/{EVIL}.jpg", "stage": "decode", "reason": "premature end <of> file"}
    (tmp_path / "failures.jsonl").write_text(json.dumps(failure) + "\n")
    return tmp_path


def test_summary_counts_splits_classes_groups_and_failures(out):
    summary = summarise(out)
    assert summary["samples"] == 6 and summary["shards"] == 2 and summary["failed"] == 1
    train, val = summary["splits"]["train"], summary["splits"]["val"]
    assert train["classes"] == {"glaucoma": 1, f"b{EVIL}": 2}
    assert (train["unlabelled"], train["groups"], val["groups"]) == (1, 2, 2)
    assert summary["failures_by_stage"] == {"decode": 1}
    json.dumps(summary)  # plain values only


def test_text_names_what_a_reader_looks_for(out):
    text = render(summarise(out))
    assert "6, each 40×40×3 uint8" in text
    assert "101.3 ± 10.0, 60.0 ± 20.0, 30.0 ± 30.0" in text
    assert "1 (1 at decode; see failures.jsonl)" in text
    assert "d" * 64 in text
    assert re.search(r"^all +3 +2 +1 +6 +2 +4$", text, re.MULTILINE)


def test_pipeline_is_told_in_one_line():
    assert pipeline_text(SPEC) == (
        "decode rgb → resize 40×40 stretch area → clahe clip limit 2.0 tiles 8 → gamma 1.2"
        " → median size 3"
    )


def test_sheet_escapes_all_text_and_needs_nothing_else(out):
    page = render_html(out, summarise(out))
    assert "<script" not in page and "&lt;script&gt;" in page
    assert "premature end &lt;of&gt; file" in page
    assert not re.search(r"(src|href)=\"(?!data:image/png;base64,)", page)
    assert "http" not in page


def test_sheet_shows_the_stored_pixels_of_every_class(out):
    page = render_html(out, summarise(out))
    pictures = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
        for data in re.findall(r"base64,([^\"]+)", page)
    ]
    assert len(pictures) == 6
    with np.load(out / "train-00000.npz") as shard:
        assert any(np.array_equal(shard["images"][0], picture) for picture in pictures)


def test_pictures_are_chosen_per_class_and_the_same_each_time(out):
    first = [p.id for p in choose_pictures(out, per_class=2, side=20)]
    assert first == [p.id for p in choose_pictures(out, per_class=2, side=20)]
    chosen = choose_pictures(out, per_class=2, side=20)
    assert [p.class_name for p in chosen] == ["glaucoma"] * 2 + [f"b{EVIL}"] * 2 + ["(no label)"]
    assert all(p.pixels.shape == (20, 20, 3) for p in chosen)


@pytest.mark.parametrize(
    ("shape", "reduced"),
    [((300, 200, 3), (150, 100, 3)), ((301, 10, 1), (100, 3, 1)), ((7, 2000, 1), (1, 142, 1))],
)
def test_reduced_images_keep_their_mean_and_fit(shape, reduced):
    image = np.full(shape, 77, np.uint8)
    small = reduce_image(image, 150)
    assert small.shape == reduced
    assert (small == 77).all()


def test_an_unfinished_data_set_says_what_to_do(tmp_path):
    with pytest.raises(UsageError, match="medprep shard"):
        summarise(tmp_path)


def test_a_missing_shard_is_named(out):
    (out / "val-00000.npz").unlink()
    with pytest.raises(VerificationError, match=r"val-00000\.npz"):
        summarise(out)


def test_the_command_writes_the_sheet_and_prints_the_summary(out, tmp_path):
    summary = medprep("inspect", out, "--html", tmp_path / "sheet.html")
    assert summary["samples"] == 6
    assert Path(summary["html"]).read_text().startswith("<!doctype html>")
    assert medprep("inspect", tmp_path / "nowhere", code=2)["exit_code"] == 2


def test_a_group_in_two_splits_is_counted_once_in_all(tmp_path):
    src = write_classes(tmp_path / "src", {"a": 4})
    rows = [f"a/a_{k:03}.jpg,a,{'train' if k % 2 else 'test'},p{k // 2}" for k in range(4)]
    (src / "t.csv").write_text("\n".join(["path,label,split,group", *rows]))
    out = tmp_path / "out"
    medprep("shard", src, out, "--size", 8)
    header, *_, total = class_table(summarise(out))
    assert dict(zip(header, total, strict=True))["groups"] == "2"


def test_boxes_and_captions_are_drawn_and_escaped(tmp_path, monkeypatch):
    src = write_annotated(tmp_path / "src", copies=1, broken=False)
    annotate(
        monkeypatch,
        lambda path: {"boxes": (Box(0, 0, 10, 10, 1),), "caption": f"{EVIL} {'long ' * 60}"},
        box_classes=("opacity", f"n{EVIL}"),
    )
    shard(src, tmp_path / "out", size=200, resize="letterbox")
    summary = summarise(tmp_path / "out")
    assert summary["boxes"] == {"stored": 4, "dropped": 0, "classes": ["opacity", f"n{EVIL}"]}
    assert summary["captions"] == 4
    assert "annotated   4 boxes (opacity, n<script>" in render(summary)
    page = render_html(tmp_path / "out", summary)
    assert page.count('<svg viewBox="0 0 200 200"><rect x="') == 4
    assert page.count("…</q>") == 4
    assert "<script" not in page and "http" not in page
    (wide,) = [p for p in choose_pictures(tmp_path / "out", per_class=9, side=150)
               if p.id == "a/wide_0.png"]  # fmt: skip
    # 40 x 90 becomes 89 x 200, 55 rows down.
    assert wide.pixels.shape == (100, 100, 3) and wide.view == (200, 200)
    np.testing.assert_allclose(wide.boxes, [[0, 55, 200 / 9, 55 + 890 / 40, 1]], rtol=1e-6)
