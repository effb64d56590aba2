"""Every layout from SRC to verified shards."""

import functools
import json

import pytest
from click.testing import CliRunner
from miniatures import MAKERS, chest_dicom, layout_of

from medprep import ShardReader, _core, pipeline
from medprep.cli import main
from medprep.errors import ImageError
from medprep.sources import LAYOUTS

REFUSED = {  # what a miniature plants: rows without a file, torn lines, wrong boxes, HTML as JPEG
    "smdg": 1,
    "pmc-oa": 3,
    "coco": 1,
    "yolo": 1,
    "table": 1,
}


def call(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def last_json(result):
    return json.loads(result.stdout.splitlines()[-1])


@functools.cache
def shards_dicom():
    spec = pipeline.preset("plain").with_channels("grey").to_json()
    try:
        _core.apply(chest_dicom(patient="p", side=16), json.dumps(spec))
    except ImageError:
        return False
    return True


def test_every_layout_has_a_miniature():
    assert {layout_of(name) for name in MAKERS} == set(LAYOUTS)


@pytest.mark.parametrize("name", MAKERS)
def test_a_layout_named_goes_from_src_to_verified_shards(name, made, tmp_path):
    if name in ("rsna", "folder (DICOM)") and not shards_dicom():
        pytest.skip("this build's pipeline does not decode DICOM; planning is tested elsewhere")
    src, out = made(name), tmp_path / "out"
    words = ["--layout", layout_of(name), "--size", "8", "--threads", "1", "--json"]
    result = call("shard", src, out, *words)
    assert result.exit_code == (3 if name in REFUSED else 0), result.output
    report = last_json(result)
    assert report["failed"] == REFUSED.get(name, 0)
    verified = call("verify", out, "--json")
    assert verified.exit_code == 0 and last_json(verified)["ok"], verified.output
    again = last_json(call("shard", src, out, *words))
    assert (again["digest"], again["resumed"]) == (report["digest"], report["shards"])


def test_the_help_lists_every_layout():
    text = "".join(call("shard", "--help").output.split())  # lines also break at hyphens
    assert all(name in text for name in LAYOUTS)


def test_boxes_captions_and_groups_of_a_table_arrive_in_the_shards(made, tmp_path):
    out = tmp_path / "out"
    call("shard", made("table"), out, "--size", "10x12", "--threads", "1")  # 20 x 24 halved
    samples = {sample.id: sample for sample in ShardReader(out, split="train")}
    first = samples["a/1.png"]
    assert first.boxes.tolist() == [[1.0, 1.5, 3.5, 4.5, 1.0], [4.5, 1.5, 6.5, 3.5, 0.0]]
    assert first.caption == "A nodule and a mass"
    assert samples["a/2.png"].boxes.shape == (0, 5)
    assert samples["a/2.png"].group == first.group != samples["b/3.png"].group


def test_suspects_are_stored_without_a_label_when_asked_for(made, tmp_path):
    out = tmp_path / "out"
    words = ["--size", "8", "--threads", "1", "--unlabelled", "suspect", "--split", "train=1"]
    assert call("shard", made("smdg"), out, *words).exit_code == 3  # one picture is missing
    labels = [sample.label for sample in ShardReader(out)]
    assert (labels.count(-1), len(labels)) == (2, 22)
