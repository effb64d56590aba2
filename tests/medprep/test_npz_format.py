"""The shard file as others see it: NumPy, zipfile, and the format's definition in Python."""

from __future__ import annotations

import hashlib
import json
import pickletools
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import shard_making as making

from medprep import _core

FORMS = [
    {"compress": compress, "force_zip64": zip64}
    for compress in ("none", "deflate")
    for zip64 in (False, True)
]


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_numpy_opens_a_shard_without_pickle(tmp_path: Path, form: dict):
    record = making.write_shard(tmp_path, **form)
    with np.load(tmp_path / record["name"], allow_pickle=False) as shard:
        assert shard.files == ["images", "labels", "ids", "group"]
        np.testing.assert_array_equal(shard["images"], making.images(5))
        assert shard["labels"].dtype == np.int64
        assert shard["labels"].tolist() == [-1, 0, 1, 2, 3]
        assert shard["ids"].dtype == "<U12"
        assert shard["ids"].tolist() == [f"a/é{row}.png" for row in range(5)]
        assert shard["group"].dtype == "<U3"
        assert shard["group"].tolist() == [f"g{row}" for row in range(5)]


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_zipfile_finds_every_crc_right_and_the_times_constant(tmp_path: Path, form: dict):
    record = making.write_shard(tmp_path, **form)
    with zipfile.ZipFile(tmp_path / record["name"]) as archive:
        assert archive.testzip() is None
        for info in archive.infolist():
            assert info.date_time == (1980, 1, 1, 0, 0, 0)
            assert zlib.crc32(archive.read(info)) == info.CRC


@pytest.mark.parametrize("zip64", [False, True])
def test_arrays_of_a_stored_shard_are_64_byte_aligned_and_map(tmp_path: Path, zip64: bool):
    record = making.write_shard(tmp_path, force_zip64=zip64)
    path = tmp_path / record["name"]
    data = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            name, extra = struct.unpack_from("<HH", data, info.header_offset + 26)
            start = info.header_offset + 30 + name + extra
            assert start % 64 == 0
            (header,) = struct.unpack_from("<H", data, start + 8)
            assert (start + 10 + header) % 64 == 0
    mapped = np.memmap(path, np.uint8, "r", offset=256, shape=(5, 16, 24, 3))
    np.testing.assert_array_equal(mapped, making.images(5))


def test_forced_zip64_records_are_there_and_only_then(tmp_path: Path):
    for zip64 in (False, True):
        record = making.write_shard(tmp_path / str(zip64), force_zip64=zip64)
        data = (tmp_path / str(zip64) / record["name"]).read_bytes()
        assert (b"PK\x06\x06" in data and b"PK\x06\x07" in data) == zip64


def test_a_shard_holds_no_pickle(tmp_path: Path):
    record = making.write_shard(tmp_path)
    with zipfile.ZipFile(tmp_path / record["name"]) as archive:
        for name in archive.namelist():
            with pytest.raises(ValueError):
                list(pickletools.genops(archive.read(name)))


def test_writing_twice_gives_the_same_bytes(tmp_path: Path):
    first = making.write_shard(tmp_path / "a", compress="deflate")
    second = making.write_shard(tmp_path / "b", compress="deflate")
    assert first == second
    assert making.outputs(tmp_path / "a") == making.outputs(tmp_path / "b")


def test_the_record_tells_what_is_in_the_file(tmp_path: Path):
    record = making.write_shard(tmp_path)
    data = (tmp_path / "train-00000.npz").read_bytes()
    pixels = making.images(5)
    assert json.loads((tmp_path / "records/train-00000.json").read_bytes()) == record
    assert record["bytes"] == len(data)
    assert record["sha256"] == hashlib.sha256(data).hexdigest()
    assert record["count"] == 5
    assert record["pixels"] == 5 * 16 * 24
    wide = pixels.astype(np.uint64)
    assert record["sum"] == wide.sum(axis=(0, 1, 2)).tolist()
    assert record["sum_squares"] == (wide**2).sum(axis=(0, 1, 2)).tolist()
    assert record["failures"] == [
        {
            "id": "a/bad.png",
            "path": "a/bad.png",
            "stage": "decode",
            "reason": "cannot decode PNG: empty",
        }
    ]
    row = record["rows"][2]
    assert (row["id"], row["row"], row["label"], row["group"]) == ("a/é2.png", 2, 1, "g2")
    assert row["crc32c"] == _core.crc32c(pixels[2].tobytes()) == crc32c(pixels[2].tobytes())
    assert row["leaf"] == leaf("train", 1, pixels[2]) == _core.sample_leaf("train", 1, pixels[2])


def crc32c(data: bytes) -> int:
    """Bit by bit, from the polynomial."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def leaf(split: str, label: int, image: np.ndarray, boxes: bytes = b"", caption: str = "") -> str:
    """The definition of the leaf hash."""
    fields = (
        split.encode(),
        struct.pack("<q", label),
        boxes,
        caption.encode(),
        b"uint8",
        struct.pack("<QQQ", *image.shape),
        image.tobytes(),
    )
    joined = b"".join(struct.pack("<Q", len(field)) + field for field in fields)
    return hashlib.sha256(b"\0" + joined).hexdigest()


def root(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, with leaves that are hashes already."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + root(leaves[:split]) + root(leaves[split:])).digest()


def test_crc32c_has_the_check_value_of_the_catalogue():
    assert _core.crc32c(b"123456789") == 0xE3069283


def test_the_leaf_covers_boxes_and_caption():
    image = making.images(1)[0]
    boxes = np.float32([0.1, 0.2, 0.3, 0.4])
    found = _core.sample_leaf("val", -1, image, boxes.tolist(), "Größe")
    assert found == leaf("val", -1, image, boxes.astype("<f4").tobytes(), "Größe")
    assert found != _core.sample_leaf("val", -1, image, boxes.tolist())
    assert found != _core.sample_leaf("val", 0, image, boxes.tolist(), "Größe")


@pytest.mark.parametrize("count", [*range(18), 63, 64, 65, 1000])
def test_the_merkle_root_is_that_of_rfc_6962(count: int):
    leaves = [hashlib.sha256(bytes([n % 256, n // 256])).digest() for n in range(count)]
    assert _core.merkle_root([leaf.hex() for leaf in leaves]) == root(leaves).hex()


def test_the_manifest_has_the_root_mean_and_deviation_of_the_samples(tmp_path: Path):
    making.make_source(tmp_path / "src", 23, bad=(4,))
    making.run(making.make_job(tmp_path / "src", tmp_path / "out", 23, 7))
    summary = json.loads(_core.merge(str(tmp_path / "out")))
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    pixels, leaves = [], []
    for shard in manifest["shards"]:
        with np.load(tmp_path / "out" / shard["name"], allow_pickle=False) as arrays:
            pixels.append(arrays["images"])
            leaves += [
                leaf("train", int(label), image)
                for label, image in zip(arrays["labels"], arrays["images"], strict=True)
            ]
    assert manifest["digest"] == root([bytes.fromhex(text) for text in leaves]).hex()
    assert summary == {"digest": manifest["digest"], "images": 22, "failed": 1, "shards": 4}
    values = np.concatenate(pixels).astype(np.float64)
    # NumPy sums in floating point, the manifest in integers.
    np.testing.assert_allclose(manifest["channel_mean"], values.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(manifest["channel_std"], values.std(axis=(0, 1, 2)), rtol=1e-10)
    lines = [json.loads(s) for s in (tmp_path / "out/samples.jsonl").read_text().splitlines()]
    assert len(lines) == 22
    assert set(lines[0]) == {"id", "shard", "row", "label", "split", "group", "path", "crc32c"}
    (failure,) = (tmp_path / "out/failures.jsonl").read_text().splitlines()
    assert json.loads(failure)["path"] == "0004.png"
