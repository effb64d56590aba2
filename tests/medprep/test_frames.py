"""`--frames all`: every frame of a multi-frame DICOM file is a sample of its own."""

import json
from io import BytesIO

import dicom_files as files
import numpy as np
import pytest
from dicom_files import dicom
from PIL import Image
from tiny_collections import write_image

import medprep
from medprep import _core
from medprep.errors import DecodeError, SpecError, StoppedError
from medprep.frames import MAX_FRAMES, expand_frames
from medprep.options import DataOptions
from medprep.pipeline import Overrides
from medprep.planning import make_plan
from medprep.run import RunOptions, run_shard, save
from medprep.split import assign_splits, parse_split
from medprep.types import Box, SourceItem
from medprep.verify import verify

SIDE = 8
# Area means of equal sides are the pixels themselves.
PLAIN = {"size": SIDE, "frames": "all", "window": "none", "private": False, "shard_samples": 5}


def stack(count, seed=0):
    shape = (count, SIDE, SIDE)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def jpeg(pixels):
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def stack_file(codec, pixels, **how):
    how = {"frames": len(pixels), **how}
    if codec == "uncompressed":
        return dicom(pixels, **how)
    if codec == "RLE":
        fragments = [files.rle(frame) for frame in pixels]
        return dicom(pixels, syntax=files.RLE, fragments=fragments, **how)
    fragments = [jpeg(frame) for frame in pixels]
    return dicom(pixels, syntax=files.JPEG_BASELINE, fragments=fragments, **how)


def stored(out):
    reader = medprep.ShardReader(out)
    return {sample.id: sample.image[:, :, 0] for sample in (reader[i] for i in range(len(reader)))}


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Stacks of 12, 3 and 2 frames, a file of one and a PNG."""
    src = tmp_path_factory.mktemp("frames") / "src"
    src.mkdir()
    (src / "cine.dcm").write_bytes(stack_file("uncompressed", stack(12)))
    (src / "rle.dcm").write_bytes(stack_file("RLE", stack(3, seed=1)))
    (src / "jpeg.dcm").write_bytes(stack_file("JPEG", stack(2, seed=2)))
    (src / "single.dcm").write_bytes(dicom(stack(1, seed=3)[0]))
    write_image(src / "photo.png", seed=4, size=(SIDE, SIDE), grey=True)
    return src


@pytest.mark.parametrize("codec", ["uncompressed", "RLE", "JPEG"])
def test_one_frame_is_decoded_by_its_number(codec):
    pixels = stack(5)
    data = stack_file(codec, pixels)
    together = medprep.decode_dicom(data, window=None, frames="all")
    for number in range(5):
        one = medprep.decode_dicom(data, window=None, frames=number)
        np.testing.assert_array_equal(one, together[number])
        if codec != "JPEG":
            np.testing.assert_array_equal(one, pixels[number])
    with pytest.raises(DecodeError, match="no frame 5: the header says 5, counted from 0"):
        medprep.decode_dicom(data, frames=5)
    with pytest.raises(SpecError, match="first, middle, all or a number from 0, got -1"):
        medprep.decode_dicom(data, frames=-1)


def test_damage_of_another_frame_does_not_matter():
    fragments = [b"\x00" * 4, jpeg(stack(1)[0])]
    data = dicom(stack(2), syntax=files.JPEG_BASELINE, fragments=fragments, frames=2)
    assert medprep.decode_dicom(data, frames=1).shape == (SIDE, SIDE)
    with pytest.raises(DecodeError):
        medprep.decode_dicom(data, frames=0)


@pytest.mark.parametrize("kernel", ["rust", "python"])
def test_every_frame_becomes_a_sample_beside_files_of_one_image(mixed, tmp_path, kernel):
    report = medprep.shard(mixed, tmp_path / "out", kernel=kernel, **PLAIN)
    assert (report.images, report.failed) == (19, 0)
    images = stored(tmp_path / "out")
    for number, frame in enumerate(stack(12)):
        np.testing.assert_array_equal(images[f"cine.dcm#{number:02}"], frame)
    for number, frame in enumerate(stack(3, seed=1)):
        np.testing.assert_array_equal(images[f"rle.dcm#{number}"], frame)
    shown = medprep.decode_dicom((mixed / "jpeg.dcm").read_bytes(), window=None, frames="all")
    for number, frame in enumerate(shown):
        np.testing.assert_array_equal(images[f"jpeg.dcm#{number}"], frame)
    np.testing.assert_array_equal(images["single.dcm"], stack(1, seed=3)[0])
    assert images["photo.png"].shape == (SIDE, SIDE)
    samples = lines(tmp_path / "out" / "samples.jsonl")
    frames = {(line["id"], line["path"], line.get("frame")) for line in samples}
    assert ("cine.dcm#07", "cine.dcm", 7) in frames
    assert ("single.dcm", "single.dcm", None) in frames
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["pipeline"]["steps"][0]["frames"] == "all"
    assert verify(tmp_path / "out", threads=1).is_ok


@pytest.mark.parametrize("window", ["auto", (100.0, 80.0)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_both_kernels_and_all_engines_agree(mixed, tmp_path, window, dtype):
    options = {**PLAIN, "window": window, "dtype": dtype}
    digests = set()
    for engine, kernel in (("sequential", "rust"), ("threads", "rust"), ("threads", "python")):
        out = tmp_path / f"{engine}-{kernel}"
        report = medprep.shard(mixed, out, engine=engine, kernel=kernel, threads=2, **options)
        assert report.failed == 0
        digests.add(report.digest)
    assert len(digests) == 1


def test_frames_of_a_file_share_a_split_and_its_order_is_mixed(tmp_path):
    src = tmp_path / "src"
    src.mkdir()
    for number in range(12):
        (src / f"{number:02}.dcm").write_bytes(stack_file("uncompressed", stack(4, number)))
    out = tmp_path / "out"
    options = {**PLAIN, "split": "train=0.5,val=0.25,test=0.25"}
    medprep.shard(src, out, **options)
    samples = lines(out / "samples.jsonl")
    splits = {}
    for line in samples:
        splits.setdefault(line["path"], set()).add(line["split"])
    assert all(len(found) == 1 for found in splits.values())
    assert sorted(len([s for s in splits.values() if s == {name}]) for name in
                  ("train", "val", "test")) == [3, 3, 6]  # fmt: skip
    train = [line["path"] for line in samples if line["split"] == "train"]
    assert train != sorted(train)


def test_patients_keep_their_frames_together_too():
    items = [
        SourceItem(path=f"{number}.dcm", group=f"p{number // 2}", frames=3) for number in range(8)
    ]
    expanded, failures = expand_frames(items)
    assert (len(expanded), failures) == (24, [])
    splits = assign_splits(expanded, parse_split("train=0.5,val=0.5"), seed=0)
    where = {}
    for item, split in zip(expanded, splits, strict=True):
        where.setdefault(item.group, set()).add(split)
    assert all(len(found) == 1 for found in where.values())


def test_private_ids_are_keyed_by_path_and_frame_and_give_the_same_data_set(mixed, tmp_path):
    plain = medprep.shard(mixed, tmp_path / "plain", **PLAIN)
    private = medprep.shard(
        mixed,
        tmp_path / "out",
        private_map=tmp_path / "map.jsonl",
        **{**PLAIN, "private": True},
    )
    assert private.digest == plain.digest
    ids = [line["id"] for line in lines(tmp_path / "out" / "samples.jsonl")]
    assert len(set(ids)) == 19
    assert all(len(id_) == 32 for id_ in ids)
    mapped = {(line["path"], line.get("frame")) for line in lines(tmp_path / "map.jsonl")}
    assert ("cine.dcm", 11) in mapped
    assert ("photo.png", None) in mapped
    assert b"cine" not in b"".join(
        path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()
    )


def test_a_stopped_run_goes_on_and_a_finished_one_is_left_alone(mixed, tmp_path):
    whole = medprep.shard(mixed, tmp_path / "whole", **PLAIN)
    out, stop = tmp_path / "out", _core.StopFlag()
    data = DataOptions(
        overrides=Overrides(size=(SIDE, SIDE), frames="all", window="none"),
        private=False,
        shard_samples=5,
    )

    def after_first_shard(total):
        return lambda images, failed, shards: stop.set() if shards else None

    run = RunOptions(engine="sequential", kernel="python")
    with pytest.raises(StoppedError):
        run_shard(mixed, out, data, run, stop=stop, progress=after_first_shard)
    resumed = medprep.shard(mixed, out, **PLAIN)
    assert resumed.digest == whole.digest
    assert resumed.resumed > 0
    again = medprep.shard(mixed, out, **PLAIN)
    assert again.digest == whole.digest


@pytest.mark.parametrize("kernel", ["rust", "python"])
def test_frames_that_the_header_makes_up_fail_one_by_one(tmp_path, kernel):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "lie.dcm").write_bytes(stack_file("uncompressed", stack(3), frames=5))
    out = tmp_path / "out"
    report = medprep.shard(tmp_path / "src", out, kernel=kernel, **PLAIN)
    assert (report.images, report.failed) == (3, 2)
    failures = sorted(lines(out / "failures.jsonl"), key=lambda line: line["id"])
    assert [line["id"] for line in failures] == ["lie.dcm#3", "lie.dcm#4"]
    assert "too few for frame 4" in failures[1]["reason"]
    assert failures[1]["path"] == "lie.dcm"


@pytest.mark.parametrize("kernel", ["rust", "python"])
def test_a_file_that_changes_after_planning_is_never_taken_for_what_it_was(tmp_path, kernel):
    src = tmp_path / "src"
    src.mkdir()
    for name in ("shrinks", "photo"):
        (src / f"{name}.dcm").write_bytes(stack_file("uncompressed", stack(2)))
    (src / "grows.dcm").write_bytes(dicom(stack(1)[0]))
    out, data = tmp_path / "out", DataOptions(
        overrides=Overrides(size=(SIDE, SIDE), frames="all"), private=False
    )  # fmt: skip
    out.mkdir()
    save(out, make_plan(src, out, data, threads=1), data)
    (src / "shrinks.dcm").write_bytes(dicom(stack(1)[0]))
    (src / "grows.dcm").write_bytes(stack_file("uncompressed", stack(2)))
    write_image(src / "photo.png", seed=1, grey=True)
    (src / "photo.png").rename(src / "photo.dcm")
    report = run_shard(src, out, data, RunOptions(kernel=kernel))
    assert (report.images, report.failed) == (1, 4)  # the first of what shrank is still there
    reasons = {line["id"]: line["reason"] for line in lines(out / "failures.jsonl")}
    assert "no frame 1: the header says 1" in reasons["shrinks.dcm#1"]
    assert "2 frames, and nothing says which is wanted" in reasons["grows.dcm"]
    assert "frame 0 was planned of DICOM, and this is none" in reasons["photo.dcm#0"]


def test_too_many_frames_boxes_and_names_that_meet_are_refused_with_a_reason():
    items = [
        SourceItem(path="a.dcm", frames=MAX_FRAMES + 1),
        SourceItem(path="b.dcm", frames=2, boxes=(Box(0, 0, 1, 1),)),
        SourceItem(path="c.dcm", frames=2, boxes=()),
        SourceItem(path="IM1", frames=2),
        SourceItem(path="IM1#1"),
    ]
    expanded, failures = expand_frames(items)
    assert [item.name for item in expanded] == ["c.dcm#0", "c.dcm#1", "IM1#1"]
    assert [(failure.path, failure.stage) for failure in failures] == [
        (path, "plan") for path in ("a.dcm", "b.dcm", "IM1")
    ]
    assert failures[0].reason == "number of frames is 10001, over the limit of 10000"
    assert "nothing says which frame they are on" in failures[1].reason
    assert "another file is named as one of its 2 frames" in failures[2].reason


@pytest.mark.parametrize("private", [False, True])
def test_a_number_of_frames_beyond_the_limit_is_one_failure_line(tmp_path, private):
    src, out = tmp_path / "src", tmp_path / "out"
    src.mkdir()
    (src / "a.dcm").write_bytes(stack_file("uncompressed", stack(2), frames=2_000_000_000))
    (src / "b.dcm").write_bytes(stack_file("uncompressed", stack(2)))
    options = {**PLAIN, "private": private}
    report = medprep.shard(src, out, **options)
    assert (report.images, report.failed) == (2, 1)
    (failure,) = lines(out / "failures.jsonl")
    assert "over the limit of 10000" in failure["reason"]
    assert medprep.shard(src, out, **options).digest == report.digest  # it is no new image


@pytest.mark.parametrize("private", [False, True])
def test_a_refused_file_is_no_news_to_a_run_that_goes_on(tmp_path, private):
    src, out = tmp_path / "src", tmp_path / "out"
    src.mkdir()
    (src / "a.dcm").write_bytes(stack_file("uncompressed", stack(2), frames=10_001))
    (src / "b.dcm").write_bytes(stack_file("uncompressed", stack(2)))
    data = DataOptions(overrides=Overrides(size=(SIDE, SIDE), frames="all"), private=private)
    out.mkdir()
    save(out, make_plan(src, out, data, threads=1), data)
    assert run_shard(src, out, data, RunOptions(kernel="rust")).images == 2
    (src / "c.dcm").write_bytes(stack_file("uncompressed", stack(2)))
    with pytest.raises(SpecError, match="SRC holds"):
        run_shard(src, out, data, RunOptions(kernel="rust"))


def test_without_all_frames_the_plan_is_as_before_and_a_note_tells(mixed, tmp_path):
    data = DataOptions(overrides=Overrides(size=(SIDE, SIDE)), private=False)
    planned = make_plan(mixed, tmp_path / "out", data, threads=1)
    assert len(planned.samples) == 5
    assert all(sample.frame is None for sample in planned.samples)
    assert "3 DICOM files say they have several frames, 17 in all" in " ".join(planned.notes)
