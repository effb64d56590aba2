"""Arrays become samples: the same pixels, whatever the file, and nothing is left behind."""

import json
import os
import socket
import zipfile

import numpy as np
import pytest
from click.testing import CliRunner
from miniatures import arrays, xy_arrays

from medprep import ShardReader, staging
from medprep.cli import main
from medprep.errors import UsageError

KEEP = ["--size", "28", "--resize", "stretch", "--threads", "1"]  # 28 -> 28: pixels unchanged


def call(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def shard(src, out, *options):
    result = call("shard", src, out, *KEEP, *options, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.splitlines()[-1])


def test_every_row_of_medmnist_arrays_is_stored_unchanged(tmp_path):
    src, out = arrays(tmp_path / "src"), tmp_path / "out"
    assert shard(src, out)["images"] == 21
    with np.load(src / "pneumoniamnist.npz") as members:
        for split in ("train", "val", "test"):
            for sample in ShardReader(out, split=split):
                row = int(sample.id.rsplit("/", 1)[-1])
                assert sample.id == f"pneumoniamnist.npz#{split}_images/{row}"
                assert np.array_equal(sample.image[..., 0], members[f"{split}_images"][row])
                assert sample.label == members[f"{split}_labels"][row, 0]


def test_an_array_file_itself_can_be_src(tmp_path):
    src = arrays(tmp_path / "src")
    folder = shard(src, tmp_path / "a")
    assert shard(src / "pneumoniamnist.npz", tmp_path / "b")["digest"] == folder["digest"]


def test_floats_of_0_to_1_give_the_bytes_they_came_from(tmp_path):
    src, out = xy_arrays(tmp_path / "src"), tmp_path / "out"
    result = call("shard", src, out, "--size", "20x24", "--threads", "1")
    assert "float pixels are rounded to 8 bits" in result.stderr
    pixels = np.load(src / "X_train.npy")
    for sample in ShardReader(out, split="train"):
        expected = np.rint(pixels[int(sample.id.rsplit("#")[-1])] * 255).astype(np.uint8)
        assert np.array_equal(sample.image, expected)


def test_nothing_staged_is_left_behind_and_a_rerun_does_nothing(tmp_path):
    src, out = arrays(tmp_path / "src"), tmp_path / "out"
    shard(src, out)
    assert not list(out.glob(".staged-*"))
    assert shard(src, out)["resumed"] == 3


def test_what_a_killed_run_left_is_removed_and_a_living_one_keeps_its_own(tmp_path):
    host = socket.gethostname()
    dead = tmp_path / f".staged-{host}-{1 << 30}-00000000"
    alive = tmp_path / f".staged-{host}-{os.getpid()}-00000000"
    elsewhere = tmp_path / f".staged-other-{1 << 30}-00000000"
    for folder in (dead, alive, elsewhere):
        folder.mkdir()
    staging.remove_leftovers(tmp_path)
    assert [f.exists() for f in (dead, alive, elsewhere)] == [False, True, True]


def test_parts_stage_only_their_own_rows_and_make_the_same_data_set(tmp_path):
    src = arrays(tmp_path / "src")
    whole = shard(src, tmp_path / "a", "--shard-samples", "4")
    out = tmp_path / "b"
    assert call("plan", src, out, *KEEP, "--shard-samples", "4").exit_code == 0
    for part in range(2):
        assert call("shard", src, out, "--threads", "1", "--part", f"{part}/2").exit_code == 0
    merged = call("merge", out, "--json")
    assert json.loads(merged.stdout.splitlines()[-1])["digest"] == whole["digest"]


def test_the_python_kernel_reads_the_same_rows(tmp_path):
    pytest.importorskip("cv2")
    src = arrays(tmp_path / "src")
    rust = shard(src, tmp_path / "a")
    assert shard(src, tmp_path / "b", "--kernel", "python")["digest"] == rust["digest"]


BAD = {
    "objects": (lambda: np.array([None, 1], object), "holds object"),
    "text": (lambda: np.array(["a"]), "holds <U1"),
    "flat": (lambda: np.zeros((2, 4), np.uint8), "expected (N, H, W)"),
    "channels first": (lambda: np.zeros((2, 3, 8, 8), np.uint8), "transpose channels to the end"),
    "16 bit": (lambda: np.zeros((2, 8, 8), np.uint16), "expected uint8 or floats"),
    "Fortran": (lambda: np.asfortranarray(np.ones((3, 8, 8), np.uint8)), "Fortran order"),
    "no pixels": (lambda: np.zeros((2, 0, 8), np.uint8), "images without pixels"),
}


@pytest.mark.parametrize("case", BAD)
def test_arrays_that_are_no_images_are_refused_in_one_line(tmp_path, list_of, case):
    make, message = BAD[case]
    np.save(tmp_path / "X.npy", make(), allow_pickle=True)
    with pytest.raises(UsageError) as caught:
        list_of(tmp_path / "X.npy", "arrays")
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros(3), "there are 2 images"),
        (np.array([[1, 1], [0, 1]]), "several labels per image"),
        (np.array([0.5, 1]), "whole numbers"),
        (np.array([-1, 1]), "whole numbers"),
        (np.array([np.nan, 1]), "whole numbers"),
    ],
)
def test_labels_that_are_no_classes_are_refused(tmp_path, list_of, labels, message):
    np.savez(tmp_path / "a.npz", x=np.zeros((2, 4, 4), np.uint8), y=labels)
    with pytest.raises(UsageError, match=message):
        list_of(tmp_path / "a.npz")


def test_arrays_without_labels_are_unlabelled_images(tmp_path, list_of):
    np.savez(tmp_path / "a.npz", images=np.zeros((2, 4, 4, 3), np.uint8))
    listing = list_of(tmp_path / "a.npz")
    assert [item.class_name for item in listing.items] == [None, None]
    assert listing.channels == "rgb" and not listing.has_splits


def test_every_truncation_of_an_array_file_is_refused_not_misread(tmp_path, list_of):
    src = arrays(tmp_path / "src")
    whole = (src / "pneumoniamnist.npz").read_bytes()
    file = tmp_path / "cut.npz"
    for size in range(0, len(whole), 997):
        file.write_bytes(whole[:size])
        with pytest.raises(UsageError):
            list_of(file, "arrays")


@pytest.mark.filterwarnings("ignore:Reading `.npy` or `.npz` file:UserWarning")
@pytest.mark.parametrize("suffix", [".npz", ".npy"])
def test_flipped_bytes_end_in_a_listing_or_in_one_line(tmp_path, list_of, suffix):
    pixels = np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4)
    if suffix == ".npz":
        np.savez_compressed(tmp_path / "x.npz", x=pixels, y=np.array([0, 1]))
    else:
        np.save(tmp_path / "x.npy", pixels)
    whole = (tmp_path / f"x{suffix}").read_bytes()
    rng = np.random.default_rng(5)
    refused = 0
    for _ in range(400):
        data = bytearray(whole)
        for at in rng.integers(0, len(data), 2):
            data[at] = rng.integers(0, 256)
        (tmp_path / f"x{suffix}").write_bytes(data)
        try:
            assert list_of(tmp_path / f"x{suffix}", "arrays").items
        except UsageError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 50


def test_a_member_that_lies_about_its_shape_is_refused(tmp_path, list_of):
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (9999999, 28, 28), }"
    header = b"\x93NUMPY\1\0" + (118).to_bytes(2, "little") + header.ljust(117) + b"\n"
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("train_images.npy", header + bytes(784))
    with pytest.raises(UsageError, match="needs 7839999"):
        list_of(tmp_path / "a.npz", "arrays")


def test_damaged_pixels_stop_the_run_before_anything_is_stored(tmp_path):
    src, out = arrays(tmp_path / "src"), tmp_path / "out"
    data = bytearray((src / "pneumoniamnist.npz").read_bytes())
    data[2000] ^= 0xFF  # inside the first member's compressed pixels
    (src / "pneumoniamnist.npz").write_bytes(data)
    result = call("shard", src, out, *KEEP)
    assert result.exit_code == 2 and "not a valid array file" in result.stderr, result.output
    assert not list(out.glob("*.npz")) and not list(out.glob(".staged-*"))


def test_floats_out_of_range_name_the_row(tmp_path):
    pixels = np.zeros((80, 4, 4), np.float32)
    pixels[70] = 1.5  # behind the rows that tell the scale
    (tmp_path / "src").mkdir()
    np.save(tmp_path / "src" / "X.npy", pixels)
    result = call("shard", tmp_path / "src" / "X.npy", tmp_path / "out", "--size", "4")
    assert result.exit_code == 2 and "row 70: pixels outside 0..1" in result.stderr


def test_a_finished_data_set_is_no_source_of_arrays(tmp_path, list_of):
    shard(arrays(tmp_path / "src"), tmp_path / "out")
    with pytest.raises(UsageError, match="no arrays named like"):
        list_of(tmp_path / "out", "arrays")


def test_bench_refuses_arrays_in_one_line(tmp_path):
    src = arrays(tmp_path / "src")
    words = ["--threads", "1", "--engines", "sequential", "--kernels", "rust"]
    result = call("bench", src, "--out", tmp_path / "bench", *words)
    assert result.exit_code == 2 and "arrays hold none" in result.stderr, result.output
