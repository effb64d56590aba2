"""Errors of the core arrive as the classes of medprep.errors, with path, stage and hint."""

from __future__ import annotations

import json
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import shard_making as making

from medprep import _core, errors

SPEC_JSON = json.dumps(making.SPEC)


def canonical(spec: dict) -> str:
    return json.dumps(spec, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


@pytest.mark.parametrize("gamma", [0.01, 0.1, 1.0, 1 / 3, 1.2, math.pi, 2.0, 99.99999999999999])
@pytest.mark.parametrize("clip_limit", [0.01, 2.0, 1e4, 123456.789 / 100])
def test_canonical_json_is_that_of_python(gamma: float, clip_limit: float):
    spec = {"steps": [*making.SPEC["steps"][:2]], "dtype": "uint8"}
    spec["steps"] += [
        {"step": "clahe", "clip_limit": clip_limit, "tiles": 8},
        {"step": "gamma", "gamma": gamma},
    ]
    assert _core.canonical_spec(json.dumps(spec)) == canonical(spec)


def test_the_fingerprint_is_that_of_python():
    import hashlib

    expected = hashlib.sha256(canonical(making.SPEC).encode()).hexdigest()
    assert _core.fingerprint(SPEC_JSON) == expected


def test_bytes_that_are_no_image_raise_decode_error():
    with pytest.raises(errors.DecodeError) as raised:
        _core.decode(b"no image at all")
    assert (raised.value.stage, raised.value.path) == ("decode", None)
    assert str(raised.value).startswith("cannot decode image")


def test_errors_survive_pickling():
    with pytest.raises(errors.DecodeError) as raised:
        _core.apply(b"x", SPEC_JSON)
    again = pickle.loads(pickle.dumps(raised.value))
    assert (type(again), str(again), again.stage) == (
        errors.DecodeError,
        str(raised.value),
        "decode",
    )


def test_a_bad_file_with_on_error_fail_raises_its_error_with_its_path(tmp_path: Path):
    making.make_source(tmp_path / "src", 3, bad=(1,))
    job = making.make_job(tmp_path / "src", tmp_path / "out", 3, 3, on_error="fail")
    with pytest.raises(errors.DecodeError, match=r"^0001\.png: cannot decode PNG") as raised:
        making.run(job)
    assert (raised.value.path, raised.value.stage) == ("0001.png", "decode")
    assert making.outputs(tmp_path / "out") == {}


def test_a_missing_file_raises_read_error_and_a_cap_limit_error(tmp_path: Path):
    making.make_source(tmp_path / "src", 1)
    out = tmp_path / "out"
    job = making.make_job(tmp_path / "src", out, 1, 1, on_error="fail")
    with pytest.raises(errors.LimitError, match="over the limit of 99"):
        making.run({**job, "limits": {"max_pixels": 99}})
    (tmp_path / "src/0000.png").unlink()
    with pytest.raises(errors.ReadError, match=r"0000\.png: cannot read: No such file"):
        making.run(job)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"thread": 2}, "unknown field `thread`"),
        ({"on_error": "ignore"}, "unknown variant `ignore`, expected `skip` or `fail`"),
        ({"spec": {"steps": [], "dtype": "uint8"}}, "steps must be in the order decode"),
        ({"root": "/nowhere"}, "source folder /nowhere: "),
    ],
)
def test_a_wrong_job_raises_spec_error(tmp_path: Path, change: dict, message: str):
    making.make_source(tmp_path / "src", 1)
    job = making.make_job(tmp_path / "src", tmp_path / "out", 1, 1)
    with pytest.raises(errors.SpecError, match=message) as raised:
        making.run({**job, **change})
    assert raised.value.exit_code == 2


def test_an_output_that_cannot_be_made_raises_storage_error(tmp_path: Path):
    making.make_source(tmp_path / "src", 1)
    (tmp_path / "file").touch()
    job = making.make_job(tmp_path / "src", tmp_path / "out", 1, 1)
    with pytest.raises(errors.StorageError) as raised:
        making.run({**job, "out": str(tmp_path / "file/out")})
    assert raised.value.exit_code == 74
    assert raised.value.path == str(tmp_path / "file/out/records")


def test_merging_an_unfinished_run_says_which_shard_is_missing(tmp_path: Path):
    making.make_source(tmp_path / "src", 2)
    making.make_job(tmp_path / "src", tmp_path / "out", 2, 1)
    with pytest.raises(errors.SpecError, match="2 of 2 shards are not done, the first is train-"):
        _core.merge(str(tmp_path / "out"))


def test_a_damaged_record_raises_verification_error(tmp_path: Path):
    making.make_source(tmp_path / "src", 2)
    making.run(making.make_job(tmp_path / "src", tmp_path / "out", 2, 2))
    record = tmp_path / "out/records/train-00000.json"
    record.write_text(record.read_text().replace('"label":1', '"label":7'))
    with pytest.raises(errors.VerificationError, match=r"label 7 of 0001\.png: there are 2"):
        _core.merge(str(tmp_path / "out"))
    assert not (tmp_path / "out/manifest.json").exists()


def test_a_finished_writer_says_so():
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        writer = _core.ShardWriter(
            folder,
            json.dumps(making.planned_shard(1)),
            json.dumps(making.IMAGE),
            fingerprint="",
            samples_sha256="",
            id_width=4,
        )
        with pytest.raises(errors.SpecError, match=r"image must be \(16, 24, 3\)"):
            writer.append(json.dumps(making.sample(0)), np.zeros((16, 24), np.uint8))
        with pytest.raises(errors.SpecError, match="unknown field `boxen`"):
            writer.append(json.dumps({**making.sample(0), "boxen": []}), making.images(1)[0])
        writer.abort()
        with pytest.raises(ValueError, match="already finished or aborted"):
            writer.finish()
        assert making.outputs(Path(folder)) == {}


def test_arrays_of_another_type_or_rank_are_refused():
    with pytest.raises(errors.SpecError, match="of dtype uint8 or uint16, got float32"):
        _core.median(np.zeros((4, 4), np.float32))
    with pytest.raises(ValueError, match=r"image must be \(H, W\) or \(H, W, C\)"):
        _core.median(np.zeros(4, np.uint8))
    with pytest.raises(errors.SpecError, match='interpolation = "cubic": unknown variant'):
        _core.resize(np.zeros((4, 4), np.uint8), 2, 2, "cubic")
    with pytest.raises(errors.SpecError, match="height and width must be from 1"):
        _core.resize(np.zeros((4, 4), np.uint8), 0, 2, "area")


def test_views_of_any_strides_are_accepted():
    image = making.images(1, height=9, width=7)[0]
    np.testing.assert_array_equal(
        _core.median(image[::-1, ::2]), _core.median(np.ascontiguousarray(image[::-1, ::2]))
    )
