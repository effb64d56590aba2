"""`--fast-decode`: smaller JPEGs, the same in both kernels, and their measured error."""

import io
import json

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import medprep
from medprep import _core
from medprep.cli import main
from medprep.errors import SpecError
from medprep.fast_decode import MAX_IMAGES
from medprep.kernels import make_kernel
from medprep.kernels.python import reduction
from medprep.manifest import load
from medprep.pipeline import PipelineSpec, from_json, preset
from medprep.steps import Decode, Resize, Window


def jpeg(height, width, *, seed=0, **options):
    """Colour noise on a smooth ground: what a smaller decode cannot keep."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    noisy = np.clip(smooth + rng.normal(0, 12, smooth.shape), 0, 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noisy).save(stream, "JPEG", **{"quality": 90, **options})
    return stream.getvalue()


def fast(channels="rgb", **resize):
    return PipelineSpec((Decode(channels=channels, fast=True), Resize(**resize)))


@pytest.mark.parametrize("channels", ["rgb", "grey"])
@pytest.mark.parametrize("mode", ["stretch", "crop", "letterbox"])
def test_both_kernels_reduce_alike(channels, mode):
    for seed, (height, width) in enumerate([(170, 131), (131, 170), (257, 99), (64, 64), (20, 30)]):
        spec = fast(channels, height=24, width=31, mode=mode)
        for options in ({"subsampling": 0}, {"subsampling": 1}, {"subsampling": 2}):
            data = jpeg(height, width, seed=seed, **options)
            rust, python = (make_kernel(name, spec)(data) for name in ("rust", "python"))
            np.testing.assert_array_equal(rust, python)


def test_a_progressive_jpeg_is_reduced_too_and_a_turned_one_by_its_upright_sides():
    exif = Image.Exif()
    exif[0x0112] = 6
    spec = fast(height=30, width=15)
    for options in ({"progressive": True}, {"exif": exif}):
        data = jpeg(125, 240, **options)
        rust, python = (make_kernel(name, spec)(data) for name in ("rust", "python"))
        np.testing.assert_array_equal(rust, python)


def test_the_reduction_leaves_both_sides_as_long_as_the_target():
    square = Resize(height=224, width=224)
    assert [reduction(size, square) for size in [(2048, 2498), (1785, 1786), (1784, 1786)]] == [
        8, 8, 4,
    ]  # fmt: skip
    assert [reduction(size, square) for size in [(447, 500), (446, 500), (100, 100)]] == [2, 1, 1]
    letterbox = Resize(height=224, width=224, mode="letterbox")
    assert reduction((896, 1792), letterbox) == 8


def test_pngs_and_small_jpegs_are_decoded_exactly():
    pixels = np.random.default_rng(1).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    png = cv2.imencode(".png", pixels)[1].tobytes()
    exact = PipelineSpec((Decode(channels="rgb"), Resize(height=24, width=24)))
    for name in ("rust", "python"):
        image = make_kernel(name, fast(height=24, width=24))(png)
        np.testing.assert_array_equal(image, make_kernel(name, exact)(png))


def test_decode_takes_no_other_reduction():
    with pytest.raises(SpecError, match="reduction must be 1, 2, 4 or 8, got 3"):
        _core.decode(jpeg(9, 9), reduction=3)


def test_the_fingerprint_of_an_exact_pipeline_does_not_know_of_fast():
    spec = preset("glaucoma")
    assert "fast" not in spec.canonical()
    assert spec.fingerprint() == _core.fingerprint(spec.canonical())
    assert from_json({**spec.to_json()}) == spec
    quick = fast(height=8, width=8)
    assert quick.canonical() == _core.canonical_spec(quick.canonical())
    assert from_json(quick.to_json()) == quick
    with pytest.raises(SpecError, match="decode fast must be true or false, got 1"):
        Decode(fast=1)


def test_a_window_is_applied_to_the_reduced_values_of_a_grey_jpeg():
    stream = io.BytesIO()
    Image.open(io.BytesIO(jpeg(130, 170))).convert("L").save(stream, "JPEG")
    steps = (Window(center=120.0, width=90.0), Resize(height=24, width=31))
    quick, exact = (PipelineSpec((Decode(fast=fast), *steps)) for fast in (True, False))
    rust, python = (make_kernel(name, quick)(stream.getvalue()) for name in ("rust", "python"))
    np.testing.assert_array_equal(rust, python)
    assert (rust != make_kernel("rust", exact)(stream.getvalue())).any()


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_more_than_8_bits_are_refused(dtype):
    spec = fast(height=8, width=8)
    with pytest.raises(SpecError, match=f"with dtype {dtype} leave --fast-decode"):
        PipelineSpec(spec.steps, dtype)
    with pytest.raises(SpecError, match=f"decode.fast needs dtype uint8, got {dtype}"):
        _core.canonical_spec(spec.canonical().replace("uint8", dtype))


@pytest.fixture
def large_jpegs(tmp_path):
    for number in range(12):
        path = tmp_path / "src" / "ab"[number % 2] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(120, 90 + number, seed=number))
    return tmp_path / "src"


def test_the_measured_error_goes_into_the_manifest(large_jpegs, tmp_path):
    for out, options in (("fast", {"fast_decode": True}), ("exact", {})):
        medprep.shard(large_jpegs, tmp_path / out, size=32, split="train=1", **options)
    quick, exact = (medprep.ShardReader(tmp_path / out) for out in ("fast", "exact"))
    errors = [quick[at].image.astype(int) - exact[at].image.astype(int) for at in range(len(exact))]
    found = load(tmp_path / "fast").fast_decode
    assert found["images"] == found["differing"] == 12
    assert found["mean_abs_error"] == pytest.approx(np.mean(np.abs(errors)), abs=1e-4)
    assert found["max_abs_error"] == np.max(np.abs(errors)) > 0
    mean_square = np.mean(np.square(errors))
    assert found["psnr_db"] == pytest.approx(10 * np.log10(255**2 / mean_square), abs=1e-3)
    assert found["worst_psnr_db"] <= found["psnr_db"]
    assert load(tmp_path / "exact").fast_decode is None
    assert "fast_decode" not in json.loads((tmp_path / "exact" / "manifest.json").read_text())


def test_the_flag_plans_a_fast_decode_and_an_exact_one_is_another_specification(
    large_jpegs, tmp_path
):
    run, out = CliRunner().invoke, str(tmp_path / "out")
    planned = run(main, ["plan", str(large_jpegs), out, "--size", "32", "--fast-decode"])
    assert planned.exit_code == 0, planned.output
    assert "fast decode: mean error" in planned.output
    plan = json.loads((tmp_path / "out" / "plan.json").read_text())
    assert plan["spec"]["steps"][0] == {"step": "decode", "channels": "rgb", "fast": True}
    assert 0 < plan["fast_decode"]["images"] <= MAX_IMAGES
    again = run(main, ["shard", str(large_jpegs), out, "--size", "32"])
    assert again.exit_code == 2
    assert "decode.fast: True there, none asked" in again.output
