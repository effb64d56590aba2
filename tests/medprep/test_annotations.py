"""Boxes, captions and attributes from the listing to the reader."""

import hashlib
import json
import struct
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import shard_making as making
from annotated_collections import (
    BOX_CLASSES,
    annotate,
    annotation,
    upright_size,
    write_annotated,
)

import medprep
from medprep import _core, allowed, plan
from medprep.errors import PrivacyError, StoppedError, VerificationError
from medprep.options import DataOptions
from medprep.pipeline import Overrides
from medprep.planning import make_plan
from medprep.run import RunOptions, run_shard
from medprep.types import Box, SourceItem
from medprep.verify import verify

SIDES = (24, 36)  # height, width of the stored images
OPTIONS = {"size": SIDES, "shard_samples": 5, "split": "train=0.7,test=0.3"}


@pytest.fixture
def src(tmp_path, monkeypatch):
    annotate(monkeypatch)
    return write_annotated(tmp_path / "src")


def rounded(side, scale):
    return int(side * scale + 0.5)


def axis(source, target, scale, mode):
    """(full, skip, at, stored): the axis is resized to `full`, `stored` from `skip` go to `at`."""
    if mode == "stretch":
        return target, 0, 0, target
    full = rounded(source, scale)
    if mode == "crop":
        full = max(full, target)
        return full, (full - target) // 2, 0, target
    full = min(max(full, 1), target)
    return full, 0, (target - full) // 2, full


def expected_boxes(path, mode):
    """The rule of docs/shards.md in exact numbers."""
    source = upright_size(path)
    ratios = [target / side for target, side in zip(SIDES, source, strict=True)]
    scale = max(ratios) if mode == "crop" else min(ratios)
    axes = [axis(s, t, scale, mode) for s, t in zip(source, SIDES, strict=True)]
    stored = []
    for box in annotation(path)["boxes"]:
        edges, cut, sides = {}, False, []
        for names, side, (full, skip, at, count) in (
            (("y_min", "y_max"), source[0], axes[0]),
            (("x_min", "x_max"), source[1], axes[1]),
        ):
            whole = [Fraction(getattr(box, name)) * full / side for name in names]
            low, high = [min(max(edge, skip), skip + count) for edge in whole]
            sides.append(high - low)
            cut_here = [low, high] != whole
            cut |= cut_here and high - low < 1
            edges |= dict(zip(names, (low - skip + at, high - skip + at), strict=True))
        if cut or min(sides) <= 0:
            continue
        stored.append([float(edges[n]) for n in ("x_min", "y_min", "x_max", "y_max")] + [box.label])
    return np.array(stored, np.float32).reshape(-1, 5)


@pytest.mark.parametrize("mode", ["stretch", "crop", "letterbox"])
def test_boxes_lie_where_the_pixels_lie(src, tmp_path, mode):
    report = medprep.shard(src, tmp_path / "out", resize=mode, **OPTIONS)
    assert (report.images, report.failed) == (13, 1)
    reader = medprep.ShardReader(tmp_path / "out")
    found = dropped = 0
    for index, sample in enumerate(reader):
        expected = expected_boxes(sample.id, mode)
        np.testing.assert_allclose(sample.boxes, expected, rtol=3e-7, atol=2e-6)
        np.testing.assert_array_equal(reader.boxes(index), sample.boxes)
        assert sample.boxes.dtype == np.float32
        found += len(expected)
        dropped += len(annotation(sample.id)["boxes"]) - len(expected)
    assert (reader.manifest.boxes, reader.manifest.boxes_dropped) == (found, dropped)
    assert found > 15 and (mode != "crop" or dropped > 0)
    assert reader.manifest.box_classes == BOX_CLASSES
    assert verify(tmp_path / "out", threads=2).errors == []


def test_a_painted_box_is_found_in_the_stored_pixels(tmp_path, monkeypatch):
    """The box of white pixels stays around the white pixels, whatever the resize does."""
    from PIL import Image

    pixels = np.zeros((120, 200), np.uint8)
    pixels[30:90, 80:120] = 255
    (tmp_path / "src").mkdir()
    Image.fromarray(pixels).save(tmp_path / "src" / "x.png")
    annotate(monkeypatch, lambda path: {"boxes": (Box(80, 30, 120, 90, 1),)})
    for mode in ("stretch", "crop", "letterbox"):
        out = tmp_path / mode
        medprep.shard(tmp_path / "src", out, size=60, resize=mode, split="train=1")
        (sample,) = medprep.ShardReader(out)
        rows, columns = np.nonzero(sample.image[..., 0] > 127)
        seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_allclose(sample.boxes[0, :4], seen, atol=1)


def test_captions_come_back_letter_by_letter(src, tmp_path):
    medprep.shard(src, tmp_path / "out", **OPTIONS)
    reader = medprep.ShardReader(tmp_path / "out")
    captions = {sample.id: sample.caption for sample in reader}
    assert captions == {path: annotation(path)["caption"] for path in captions}
    assert reader.manifest.captions == sum(text is not None for text in captions.values()) == 10
    assert reader.caption(0) == reader[0].caption
    assert reader.caption(-1) == reader[-1].caption


def test_attributes_are_in_the_lines_and_the_age_is_capped(src, tmp_path):
    medprep.shard(src, tmp_path / "out", **OPTIONS)
    lines = [json.loads(x) for x in (tmp_path / "out" / "samples.jsonl").read_text().splitlines()]
    with_some = [line for line in lines if "attributes" in line]
    assert [line["attributes"] for line in with_some] == [{"sex": "F", "age": 90}] * 3
    assert all("_2" in line["id"] for line in with_some)
    assert not any("caption" in line for line in lines)
    for line in lines:
        known = annotation(line["id"])["boxes"]
        assert line["boxes"] + line.get("boxes_dropped", 0) == len(known)


def test_numpy_opens_all_members(src, tmp_path):
    medprep.shard(src, tmp_path / "out", **OPTIONS)
    with np.load(tmp_path / "out" / "train-00000.npz", allow_pickle=False) as shard:
        rows = len(shard["labels"])
        boxes, labels, offsets = shard["boxes"], shard["box_labels"], shard["box_offsets"]
        assert (boxes.dtype, labels.dtype, offsets.dtype) == ("<f4", "<i8", "<i8")
        assert boxes.shape == (offsets[-1], 4) and labels.shape == (offsets[-1],)
        assert offsets.shape == (rows + 1,) and offsets[0] == 0
        text, ends = shard["captions"], shard["caption_offsets"]
        assert text.dtype == np.uint8 and text.shape == (ends[-1],) and ends.shape == (rows + 1,)


def leaf(sample):
    """The definition in docs/shards.md."""
    boxes = b"" if sample.boxes is None else sample.boxes.astype("<f4").tobytes()
    fields = [
        sample.split.encode(),
        struct.pack("<q", sample.label),
        boxes,
        (sample.caption or "").encode(),
        b"uint8",
        struct.pack("<3Q", *sample.image.shape),
        sample.image.tobytes(),
    ]
    data = b"\0" + b"".join(struct.pack("<Q", len(field)) + field for field in fields)
    return hashlib.sha256(data).hexdigest()


def test_the_digest_is_the_documented_one(src, tmp_path):
    report = medprep.shard(src, tmp_path / "out", **OPTIONS)
    leaves = [leaf(sample) for sample in medprep.ShardReader(tmp_path / "out")]
    assert _core.merkle_root(leaves) == report.digest


@pytest.mark.parametrize(
    "change",
    [{"boxes": (Box(1, 2, 30, 31, 0),)}, {"boxes": (Box(1, 2, 30, 30, 1),)}, {"caption": "b"}, {}],
    ids=["edge", "label", "caption", "nothing"],
)
def test_boxes_their_labels_and_captions_enter_the_digest(tmp_path, monkeypatch, change):
    write_annotated(tmp_path / "src", copies=1, broken=False)
    first = {"boxes": (Box(1, 2, 30, 30, 0),), "caption": "a"}
    digests = []
    for name, what in (("one", first), ("two", {**first, **change})):
        with monkeypatch.context() as patch:
            annotate(patch, lambda path, what=what: what)
            digests.append(medprep.shard(tmp_path / "src", tmp_path / name, size=24).digest)
    assert (digests[0] == digests[1]) == (change == {})


@pytest.mark.parametrize("compress", ["none", "deflate"])
@pytest.mark.parametrize(
    ("engine", "kernel"), [("sequential", "rust"), ("threads", "python"), ("dask", "rust")]
)
def test_engines_and_kernels_write_the_same_bytes(src, tmp_path, engine, kernel, compress):
    if engine == "dask" and compress == "deflate":
        pytest.skip("Dask processes take seconds to start: once is enough")
    options = {"resize": "crop", "compress": compress, **OPTIONS}
    medprep.shard(src, tmp_path / "a", threads=2, **options)
    medprep.shard(src, tmp_path / "b", engine=engine, kernel=kernel, threads=2, **options)
    names = sorted(path.name for path in (tmp_path / "a").glob("*.npz"))
    assert len(names) == 3
    for name in [*names, "manifest.json", "samples.jsonl"]:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    assert verify(tmp_path / "b", threads=2).errors == []


@pytest.mark.parametrize("kernel", ["rust", "python"])
def test_an_interrupted_run_goes_on_to_the_same_digest(src, tmp_path, kernel):
    whole = medprep.shard(src, tmp_path / "whole", **OPTIONS)
    out = tmp_path / "out"
    data = DataOptions(overrides=Overrides(size=SIDES), shard_samples=5, split=OPTIONS["split"])
    run = RunOptions(kernel=kernel, threads=1, engine="sequential")
    stop = _core.StopFlag()
    if kernel == "rust":
        stop.set()

    def stop_soon(total):
        return lambda images, failed, shards: stop.set() if shards == 1 else None

    with pytest.raises(StoppedError):
        run_shard(src, out, data, run, stop=stop, progress=stop_soon)
    resumed = run_shard(src, out, data, run)
    assert resumed.resumed == (1 if kernel == "python" else 0)
    assert resumed.digest == whole.digest
    (out / "train-00001.npz").unlink()
    (out / "plan-samples.jsonl").unlink()
    assert run_shard(src, out, data, run).digest == whole.digest


def test_a_data_set_of_which_nothing_has_boxes_has_no_members_for_them(tmp_path):
    write_annotated(tmp_path / "src", broken=False)
    medprep.shard(tmp_path / "src", tmp_path / "out", size=24)
    reader = medprep.ShardReader(tmp_path / "out")
    assert reader[0].boxes is None and reader[0].caption is None
    assert reader.boxes(0) is None and reader.caption(0) is None
    with np.load(tmp_path / "out" / "train-00000.npz") as shard:
        assert shard.files == ["images", "labels", "ids"]
    for name in ("plan.json", "manifest.json"):
        text = (tmp_path / "out" / name).read_text()
        assert "box" not in text and "caption" not in text and "sources" not in text
    first = (tmp_path / "out" / "plan-samples.jsonl").read_text().splitlines()[0]
    assert set(json.loads(first)) == {"id", "path", "label", "split", "group"}


def test_images_without_a_word_about_boxes_are_told_from_those_with_none(tmp_path, monkeypatch):
    src = write_annotated(tmp_path / "src", copies=1, broken=False)
    annotate(monkeypatch, lambda path: {"boxes": None if path.startswith("b") else ()})
    made = make_plan(src, tmp_path / "out", DataOptions(), threads=1)
    assert "2 images have no word about boxes; they are stored without any" in made.notes
    medprep.shard(src, tmp_path / "out", size=24)
    lines = [json.loads(x) for x in (tmp_path / "out" / "samples.jsonl").read_text().splitlines()]
    assert {line["id"][0]: line.get("boxes") for line in lines} == {"a": 0, "b": None}
    assert all(sample.boxes.shape == (0, 5) for sample in medprep.ShardReader(tmp_path / "out"))
    assert verify(tmp_path / "out", threads=1).errors == []


# -- what is refused ----------------------------------------------------------------------------

NAN = float("nan")


@pytest.mark.parametrize(
    ("carried", "reason"),
    [
        ({"caption": "x" * 65_537}, "caption has 65537 bytes, over the limit of 65536"),
        ({"caption": "\N{LUNGS}" * 16_385}, "caption has 65540 bytes"),
        ({"caption": "\ud800"}, "the caption is not text"),
        ({"boxes": (Box(0, 0, 1, 1),) * 10_001}, "10001 boxes, over the limit of 10000"),
        ({"boxes": (Box(0, 0, 1, 1), Box(0, 5, 1, 5))}, "box 1: must have x_min < x_max"),
        ({"boxes": (Box(NAN, 0, 1, 1),)}, "box 0: an edge is not a finite number"),
        ({"boxes": (Box(0, 0, 1, float("inf")),)}, "box 0: an edge is not a finite number"),
        ({"boxes": (Box(0, 0, 1, 1, -1),)}, "box 0: the label must be in 0..65535, got -1"),
        ({"boxes": (Box(1 / 3, 1 / 7, 1e9 / 3, 1e9 / 7),) * 9000}, "9000 boxes take"),
        ({"attributes": {"sex": "Doe, John, born 1950, of London, UK"}}, "attribute sex has"),
        ({"attributes": {"age": -1}}, "attribute age has a value that cannot be"),
    ],
)
def test_what_cannot_be_stored_is_a_failure_with_its_reason(carried, reason, tmp_path, monkeypatch):
    src = write_annotated(tmp_path / "src", copies=1, broken=False)
    annotate(monkeypatch, lambda path: carried if path == "a/tall_0.png" else {})
    report = medprep.shard(src, tmp_path / "out", size=24)
    assert (report.images, report.failed) == (3, 1)
    line = json.loads((tmp_path / "out" / "failures.jsonl").read_text())
    assert (line["path"], line["stage"]) == ("a/tall_0.png", "plan")
    assert line["reason"].startswith(reason)
    assert "Doe" not in line["reason"]
    assert medprep.shard(src, tmp_path / "out", size=24).resumed  # not taken for a new image


def test_as_many_boxes_and_letters_as_allowed_are_stored(tmp_path, monkeypatch):
    src = write_annotated(tmp_path / "src", copies=1, broken=False)
    most = {"boxes": (Box(0, 0, 5, 5),) * 10_000, "caption": "\x01" * 65_536}
    annotate(monkeypatch, lambda path: most)
    for kernel in ("rust", "python"):
        out = tmp_path / kernel
        assert medprep.shard(src, out, size=24, kernel=kernel, split="train=1").images == 4
        assert medprep.ShardReader(out)[2].caption == most["caption"]
        assert medprep.ShardReader(out)[3].boxes.shape == (10_000, 5)


def test_an_attribute_that_is_not_allowed_raises(src, tmp_path, monkeypatch):
    annotate(monkeypatch, lambda path: {"attributes": {"PatientName": "Doe"}})
    with pytest.raises(PrivacyError, match="'PatientName' is not on the allow-list") as caught:
        medprep.shard(src, tmp_path / "out")
    assert caught.value.exit_code == 5 and "Doe" not in str(caught.value)
    with pytest.raises(PrivacyError):
        allowed.refusal(SourceItem(path="x", attributes={"birth_date": "1950"}))


def hostile_line(out, change):
    """Change the first planned sample as an attacker would, its hash in the plan included."""
    path = out / plan.SAMPLES_FILE
    first, *others = path.read_text().splitlines(keepends=True)
    line = {**json.loads(first), **change}
    shards = json.loads((out / plan.PLAN_FILE).read_text())
    text = json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n"
    moved = len(text.encode()) - len(first.encode())
    path.write_text(text + "".join(others))
    for shard in shards["shards"][1:]:
        shard["offset"] += moved
    shards["samples_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (out / plan.PLAN_FILE).write_text(json.dumps(shards))


@pytest.mark.parametrize(
    "change",
    [
        {"boxes": [[0, 0, 1]]},
        {"boxes": [[0, 0, 1, 1, 0.5, 3]]},
        {"boxes": [["a", 0, 1, 1, 0]]},
        {"boxes": [[5, 0, 1, 1, 0]]},
        {"boxes": [[0, 0, 1, 1, 1 << 40]]},
        {"boxes": [[0, 0, 1, 1, 0]] * 10_001},
        {"boxes": 7},
        {"caption": 7},
        {"caption": "x" * 65_537},
        {"caption": "x" * 2**21},
        {"attributes": {"PatientName": "Doe"}},
        {"attributes": {"age": 91}},
        {"attributes": {"age": "91"}},
        {"attributes": {"sex": "F\n2"}},
        {"attributes": {"view": "x" * 33}},
        {"heatmap": []},
    ],
    ids=lambda change: str(change)[:40],
)
@pytest.mark.parametrize("kernel", ["rust", "python"])
def test_hostile_plan_lines_are_refused_and_nothing_is_written(src, tmp_path, kernel, change):
    from medprep.engines.job import Job
    from medprep.engines.sequential import run_sequential
    from medprep.errors import MedprepError
    from medprep.run import save

    out = tmp_path / "out"
    data = DataOptions(overrides=Overrides(size=SIDES), shard_samples=5)
    save(out, make_plan(src, out, data, threads=1), data)
    hostile_line(out, change)
    loaded = plan.load_plan(out)
    job = Job(root=str(src), out=str(out), plan=loaded, shards=loaded.shards[:1], kernel=kernel)
    with pytest.raises(MedprepError) as caught:
        run_sequential(job, stop=_core.StopFlag(), progress=lambda *counts: None)
    assert caught.value.exit_code in (2, 4)
    assert not list(out.glob("*.npz")) and not list(out.glob(".*tmp*"))


# -- private ------------------------------------------------------------------------------------


def test_a_private_run_refuses_captions_unless_they_are_asked_for(src, tmp_path):
    options = {"private": True, **OPTIONS}
    with pytest.raises(PrivacyError, match="11 images have captions") as caught:
        medprep.shard(src, tmp_path / "out", **options)
    assert caught.value.exit_code == 5 and "--keep-captions" in str(caught.value)
    assert not (tmp_path / "out").exists() and not (tmp_path / "medprep.key").exists()
    kept = medprep.shard(src, tmp_path / "out", keep_captions=True, **options)
    assert kept.digest == medprep.shard(src, tmp_path / "plain", **OPTIONS).digest
    with pytest.raises(medprep.errors.SpecError, match="keep-captions: True there, False asked"):
        medprep.shard(src, tmp_path / "out", **options)


def test_a_finished_private_out_refuses_another_or_changed_src(tmp_path):
    src = write_annotated(tmp_path / "src", broken=False)
    options = {"size": 24, "private": True}
    first = medprep.shard(src, tmp_path / "out", **options)
    assert not (tmp_path / "out" / "plan-samples.jsonl").exists()
    assert medprep.shard(src, tmp_path / "out", **options).digest == first.digest
    text = (tmp_path / "out" / "plan.json").read_text()
    assert len(json.loads(text)["sources"]) == 64 and "tall" not in text
    (src / "a" / "more.png").write_bytes((src / "a" / "tall_0.png").read_bytes())
    with pytest.raises(medprep.errors.SpecError, match="SRC holds other images") as caught:
        medprep.shard(src, tmp_path / "out", **options)
    assert "more" not in str(caught.value)
    (src / "a" / "more.png").unlink()
    (src / "a").rename(src / "c")
    with pytest.raises(medprep.errors.SpecError, match="SRC holds other images"):
        medprep.shard(src, tmp_path / "out")
    (src / "c").rename(src / "a")
    (tmp_path / "medprep.key").rename(tmp_path / "moved.key")
    with pytest.raises(PrivacyError, match="SRC cannot be compared; name it with --key-file"):
        medprep.shard(src, tmp_path / "out", **options)
    moved = medprep.shard(src, tmp_path / "out", key_file=tmp_path / "moved.key", **options)
    assert moved.digest == first.digest
    (tmp_path / "other.key").write_text("0" * 64)
    (tmp_path / "other.key").chmod(0o600)
    with pytest.raises(medprep.errors.SpecError, match="made with another key"):
        medprep.shard(src, tmp_path / "out", key_file=tmp_path / "other.key", **options)


# -- verification -------------------------------------------------------------------------------


def spans(path):
    """(start, end) of the bytes of every member."""
    import zipfile

    found = {}
    with zipfile.ZipFile(path) as archive:
        data = path.read_bytes()
        for info in archive.infolist():
            name, extra = struct.unpack_from("<HH", data, info.header_offset + 26)
            start = info.header_offset + 30 + name + extra
            found[info.filename.removesuffix(".npy")] = (start + 128, start + info.file_size)
    return found


def test_every_flipped_bit_of_the_new_members_is_found_and_names_its_sample(src, tmp_path):
    out = tmp_path / "out"
    medprep.shard(src, out, **OPTIONS)
    path = out / "train-00000.npz"
    record = json.loads((out / "records" / "train-00000.json").read_text())
    ends = {"boxes": [row["boxes"] for row in record["rows"]]}
    ends["captions"] = [row.get("caption_bytes", 0) for row in record["rows"]]
    ends = {name: np.cumsum(counts) for name, counts in ends.items()}
    sound = path.read_bytes()
    rng = np.random.default_rng(5)
    units = {"boxes": 16, "box_labels": 8, "captions": 1}
    for name in ("boxes", "box_labels", "box_offsets", "captions", "caption_offsets"):
        start, end = spans(path)[name]
        assert end > start
        for place in rng.integers(start, end, 40):
            damaged = bytearray(sound)
            damaged[place] ^= 1 << int(rng.integers(8))
            path.write_bytes(damaged)
            problems = json.loads(
                _core.verify_shard(str(path), json.dumps(record), record["sha256"], record["bytes"])
            )
            assert any("SHA-256" in problem["message"] for problem in problems)
            named = {problem["row"] for problem in problems if "row" in problem}
            if name in units:
                of = ends["captions" if name == "captions" else "boxes"]
                row = int(np.searchsorted(of, (place - start) // units[name], side="right"))
                assert named == {row}, (name, problems)
            else:
                row = (place - start) // 8 - 1
                assert named == (set() if row < 0 else {row}), (name, problems)
    path.write_bytes(sound)
    assert verify(out, threads=1).errors == []


def test_without_records_the_digest_covers_boxes_and_captions(src, tmp_path):
    import shutil

    out = tmp_path / "out"
    medprep.shard(src, out, **OPTIONS)
    shutil.rmtree(out / "records")
    assert verify(out, threads=1).errors == []
    text = (out / "manifest.json").read_text()
    (out / "manifest.json").write_text(text.replace('"digest": "', '"digest": "0', 1)[:-1])
    assert any("digest" in error["message"] for error in verify(out, threads=1).errors)


@pytest.mark.parametrize("key", ["boxes", "boxes_dropped", "captions"])
def test_a_manifest_that_counts_wrong_is_found(src, tmp_path, key):
    out = tmp_path / "out"
    medprep.shard(src, out, **OPTIONS)
    content = json.loads((out / "manifest.json").read_text())
    content[key] += 1
    (out / "manifest.json").write_text(json.dumps(content))
    messages = [error["message"] for error in verify(out, threads=1).errors]
    assert f"{key} differ from the records" in messages


def rewrite(out, name, change):
    """A shard whose arrays were changed and whose size the manifest believes."""
    path = out / name
    with np.load(path) as shard:
        arrays = {key: shard[key].copy() for key in shard.files}
    change(arrays)
    np.savez(path, **arrays)
    content = json.loads((out / "manifest.json").read_text())
    for entry in content["shards"]:
        if entry["name"] == name:
            entry["bytes"] = path.stat().st_size
    (out / "manifest.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a["box_offsets"].__setitem__(1, 1 << 40), "box_offsets must rise from 0"),
        (lambda a: a["caption_offsets"].__setitem__(-1, 3), "caption_offsets must rise from 0"),
        (lambda a: a["box_labels"].__setitem__(0, 7), r"box labels must be in 0\.\.1"),
        (lambda a: a.pop("boxes"), "the member 'boxes' is missing"),
        (lambda a: a["captions"].fill(0xFF), "the caption of row . is not UTF-8"),
        (lambda a: a.update(boxes=a["boxes"].astype("<i8")), "the member 'boxes' is"),
    ],
    ids=["offsets", "last offset", "label", "missing", "text", "type"],
)
def test_a_reader_refuses_members_that_cannot_be(src, tmp_path, change, message):
    out = tmp_path / "out"
    medprep.shard(src, out, **OPTIONS)
    rewrite(out, "train-00000.npz", change)
    with pytest.raises(VerificationError, match=message):
        list(medprep.ShardReader(out, "train"))


def test_a_pickled_reader_reads_the_same_annotations(src, tmp_path):
    import pickle

    medprep.shard(src, tmp_path / "out", compress="deflate", **OPTIONS)
    reader = medprep.ShardReader(tmp_path / "out")
    samples = list(reader)
    again = list(pickle.loads(pickle.dumps(reader)))
    for one, two in zip(samples, again, strict=True):
        np.testing.assert_array_equal(one.boxes, two.boxes)
        assert one.caption == two.caption


def test_a_box_class_without_a_name_is_called_by_its_number():
    items = [SourceItem(path="a", boxes=(Box(0, 0, 1, 1, 3),)), SourceItem(path="b")]
    assert allowed.box_class_names(items, ("x",)) == ("x", "1", "2", "3")
    assert allowed.box_class_names([replace(items[0], boxes=())], ()) == ()
    assert allowed.box_class_names(items[1:], ()) is None


GOLDEN = {  # made by the build before there were annotations
    "plan-samples.jsonl": "233ca709c5c928f89654cf7ad75e8616e8df81be997dc6b59d676e9c8857c336",
    "manifest.json": "6057cf75226ffa0480e01dc167b46cd2832460a15d4599a84a3fd1d77b2a1da3",
    "samples.jsonl": "9b018cd3b2cbc9d35a321aa79ec6fc50a2f2361186ed651912e4f1ad9813c55f",
    "train-00000.npz": "f8a7fb5ff10971d6d5bacd1f751beecb0b2f3a1e86ff2a1e372bb9ca42969788",
    "records/train-00000.json": "339c8acc9838e9dac63dff093d188adbbbcdbd897ec36903e8c18e800e11ccc1",
}


def test_data_sets_without_annotations_keep_every_byte_they_had(tmp_path):
    making.make_source(tmp_path / "src", 7, side=20, bad=(4,))
    report = medprep.shard(tmp_path / "src", tmp_path / "out", size=16, shard_samples=3)
    assert report.digest == "d106ccdf9c1e0a5387d7e4585fd64c563adaaff1ad342011593b6ef96c197c4f"
    found = {n: hashlib.sha256((tmp_path / "out" / n).read_bytes()).hexdigest() for n in GOLDEN}
    assert found == GOLDEN
