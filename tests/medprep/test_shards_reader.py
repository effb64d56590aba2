"""Reading shards: views into the file, and no trust in what it says about itself."""

import io
import json
import pickle
import struct
import zipfile

import numpy as np
import pytest
from tiny_collections import write_classes, write_table

import medprep
from medprep import manifest
from medprep.errors import MedprepError, UsageError, VerificationError


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """30 images of 3 patients' groups in 4 shards, and their reader."""
    folder = tmp_path_factory.mktemp("made")
    src = write_classes(folder / "src", {"a": 15, "b": 15})
    rows = [(f"{c}/{c}_{k:03}.jpg", c, f"p{k % 10}") for c in "ab" for k in range(15)]
    write_table(src / "labels.csv", rows)
    report = medprep.shard(src, folder / "out", size=8, shard_samples=10)
    assert report.images == 30
    return folder / "out"


@pytest.fixture
def out(made, tmp_path):
    """A copy that a test may damage."""
    target = tmp_path / "out"
    for path in made.rglob("*"):
        if path.is_file():
            (target / path.relative_to(made)).parent.mkdir(parents=True, exist_ok=True)
            (target / path.relative_to(made)).write_bytes(path.read_bytes())
    return target


def test_the_reader_agrees_with_numpy(made):
    reader = medprep.ShardReader(made)
    arrays = [np.load(made / s.name, allow_pickle=False) for s in reader.manifest.shards]
    images = np.concatenate([a["images"] for a in arrays])
    assert len(reader) == 30
    np.testing.assert_array_equal(reader.labels, np.concatenate([a["labels"] for a in arrays]))
    np.testing.assert_array_equal(reader.ids, np.concatenate([a["ids"] for a in arrays]))
    np.testing.assert_array_equal(reader.groups, np.concatenate([a["group"] for a in arrays]))
    for at, sample in enumerate(reader):
        np.testing.assert_array_equal(sample.image, images[at])
        assert sample.label == reader.labels[at]
        assert sample.id == reader.ids[at]
        assert sample.group == reader.groups[at]
    wanted = [29, 0, 7, 7, -1]
    batch, labels = reader.batch(wanted)
    np.testing.assert_array_equal(batch, images[wanted])
    np.testing.assert_array_equal(labels, reader.labels[wanted])
    assert batch.dtype == np.uint8 and labels.dtype == np.int64


def test_images_are_read_only_views_into_the_mapped_file(made):
    first, second = (medprep.ShardReader(made, "train")[0].image for _ in range(2))
    assert not first.flags.owndata
    assert not first.flags.writeable
    assert first.base is not None and np.array_equal(first, second)


def test_a_split_is_a_part_of_the_whole(made):
    whole = medprep.ShardReader(made)
    parts = [medprep.ShardReader(made, split) for split in whole.manifest.splits]
    assert sum(map(len, parts)) == len(whole)
    assert [s.id for part in parts for s in part] == list(whole.ids)
    assert {s.split for s in parts[0]} == {"train"}
    with pytest.raises(UsageError, match="no split 'tain'; it has train, val, test"):
        medprep.ShardReader(made, "tain")


def test_indices_outside_are_refused(made):
    reader = medprep.ShardReader(made)
    for index in (30, -31):
        with pytest.raises(IndexError):
            reader[index]
        with pytest.raises(IndexError):
            reader.batch([0, index])
    images, labels = reader.batch([])
    assert images.shape == (0, 8, 8, 3) and labels.shape == (0,)


def test_a_pickled_reader_reads_the_same_and_carries_no_data(made):
    reader = medprep.ShardReader(made)
    reader.batch(range(30))
    data = pickle.dumps(reader)
    assert len(data) < 6000  # the images alone are 5760 bytes more
    np.testing.assert_array_equal(pickle.loads(data).batch([5])[0], reader.batch([5])[0])


def test_compressed_shards_read_the_same(made, tmp_path):
    src = made.parent / "src"
    medprep.shard(src, tmp_path / "out", size=8, shard_samples=10, compress="deflate")
    plain, packed = medprep.ShardReader(made), medprep.ShardReader(tmp_path / "out")
    assert packed.manifest.digest == plain.manifest.digest
    np.testing.assert_array_equal(packed.batch(range(30))[0], plain.batch(range(30))[0])
    assert len(packed._open) == 1  # one decompressed shard at a time


def test_the_manifest_is_what_the_contract_says(made):
    loaded = manifest.load(made)
    assert manifest.from_json(loaded.to_json()) == loaded
    assert loaded.to_json() == json.loads((made / "manifest.json").read_text())
    train = medprep.ShardReader(made, "train")
    pixels = train.batch(range(len(train)))[0].astype(np.float64)
    np.testing.assert_allclose(loaded.channel_mean, pixels.mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(loaded.channel_std, pixels.std((0, 1, 2)), rtol=1e-9)
    counts = np.bincount(train.labels, minlength=2)
    assert loaded.splits["train"].class_counts == tuple(counts)


def test_a_missing_manifest_says_what_to_do(out):
    (out / "manifest.json").unlink()
    with pytest.raises(UsageError, match="the run has not finished: run the same"):
        medprep.ShardReader(out)
    with pytest.raises(UsageError, match="made by `medprep shard SRC OUT`"):
        medprep.ShardReader(out.parent)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(schema=2), "schema 2; this build reads schema 1"),
        (lambda m: m.pop("digest"), "missing key 'digest'"),
        (lambda m: m["shards"][0].update(name="../../etc/passwd"), "not of the form"),
        (lambda m: m["shards"][0].update(count=10**9), "but its shards hold"),
        (lambda m: m["shards"][0].update(count=-1), "whole number >= 0"),
        (lambda m: m.update(channel_mean=[1.0]), "must hold 3 values"),
        (lambda m: m["shards"][0].update(split="x"), "unknown split"),
        (lambda m: m.update(shards=None), "damaged manifest"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(out, change, message):
    data = json.loads((out / "manifest.json").read_text())
    change(data)
    (out / "manifest.json").write_text(json.dumps(data))
    with pytest.raises(VerificationError, match=message):
        medprep.ShardReader(out)


def test_a_shard_that_is_gone_or_cut_is_refused_at_once(out):
    path = out / "train-00001.npz"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(VerificationError, match="bytes, but the manifest says"):
        medprep.ShardReader(out)
    path.unlink()
    with pytest.raises(VerificationError, match="the shard is missing"):
        medprep.ShardReader(out)


def replace_shard(out, name, content):
    """Put other bytes in a shard's place and let the manifest agree about the size."""
    (out / name).write_bytes(content)
    data = json.loads((out / "manifest.json").read_text())
    next(s for s in data["shards"] if s["name"] == name)["bytes"] = len(content)
    (out / "manifest.json").write_text(json.dumps(data))


def npz(**members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, array in members.items():
            npy = io.BytesIO()
            np.lib.format.write_array(npy, array, allow_pickle=True)
            archive.writestr(f"{name}.npy", npy.getvalue())
    return stream.getvalue()


IMAGES, LABELS = np.zeros((10, 8, 8, 3), np.uint8), np.zeros(10, np.int64)
IDS = np.array(["x"] * 10)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK", "too few"),
        (b"x" * 500, "no ZIP directory"),
        (npz(images=IMAGES, labels=LABELS), "member 'ids' is missing"),
        (npz(images=IMAGES[:9], labels=LABELS, ids=IDS), "not what the manifest says"),
        (npz(images=IMAGES.astype("<f4"), labels=LABELS, ids=IDS), "not what the manifest says"),
        (npz(images=IMAGES, labels=LABELS.astype(">i8"), ids=IDS), "dtype '>i8'"),
        (npz(images=np.asfortranarray(IMAGES), labels=LABELS, ids=IDS), "malformed NPY header"),
        (npz(images=IMAGES, labels=LABELS, ids=np.array([None] * 10)), r"dtype '\|O'"),
    ],
)
def test_a_foreign_npz_is_refused_without_unpickling(out, content, message):
    replace_shard(out, "train-00000.npz", content)
    with pytest.raises(VerificationError, match=message):
        medprep.ShardReader(out)[0]


def test_sizes_that_lie_are_refused(out):
    whole = bytearray((out / "train-00000.npz").read_bytes())
    at = whole.index(b"(10, 8, 8, 3)")
    whole[at : at + 13] = b"(99, 8, 8, 3)"
    replace_shard(out, "train-00000.npz", bytes(whole))
    with pytest.raises(VerificationError, match=r"needs 19008 bytes, found 1920"):
        medprep.ShardReader(out)[0]


def test_any_single_changed_byte_of_the_structure_reads_or_is_refused(out):
    """No flip may crash, hang or read outside the file; what is only pixels may read."""
    name = "val-00000.npz"
    whole = (out / name).read_bytes()
    directory = struct.unpack_from("<L", whole, len(whole) - 6)[0]
    places = [*range(0, 260), *range(directory, len(whole))]
    for at in places:
        changed = bytearray(whole)
        changed[at] ^= 0xFF
        (out / name).write_bytes(bytes(changed))
        try:
            images, _ = medprep.ShardReader(out, "val").batch([0])
        except MedprepError:
            continue
        assert images.shape == (1, 8, 8, 3)
