"""The Python face: light to import, the words of the flags, NumPy in and out."""

import subprocess
import sys
from importlib.metadata import version

import cv2
import numpy as np
import pytest
from tiny_collections import write_image

import medprep
from medprep import _core
from medprep.errors import DecodeError, MedprepError, SpecError, UsageError

RNG = np.random.default_rng(3)
RGB = RNG.integers(0, 256, (40, 30, 3), dtype=np.uint8)
GREY = RNG.integers(0, 256, (40, 30), dtype=np.uint8)


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, medprep; sys.exit(str({'numpy', 'yaml', 'click'} & set(sys.modules) or 0))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() in ("", "0")


def test_package_and_core_have_the_version_that_run_json_names():
    assert version("medprep") == medprep.__version__ == _core.__version__


def test_every_public_name_is_there_and_explained():
    for name in medprep.__all__:
        value = getattr(medprep, name)
        assert name == "__version__" or value.__doc__
    assert set(medprep.__all__) <= set(dir(medprep))
    with pytest.raises(AttributeError, match="no attribute 'shrad'"):
        medprep.shrad  # noqa: B018


def test_decode_gives_rgb_as_opencv_sees_it(tmp_path):
    write_image(tmp_path / "a.jpg", 1)
    data = (tmp_path / "a.jpg").read_bytes()
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
    np.testing.assert_array_equal(medprep.decode(data), expected)
    with pytest.raises(DecodeError):
        medprep.decode(b"no image")


def test_operations_equal_opencv():
    lab = cv2.cvtColor(RGB, cv2.COLOR_RGB2LAB)
    clahe = cv2.createCLAHE(2.0, (8, 8))
    for image in (RGB, GREY):
        area = medprep.resize(image, height=13, width=17)
        np.testing.assert_array_equal(
            area, cv2.resize(image, (17, 13), interpolation=cv2.INTER_AREA)
        )
        linear = medprep.resize(image, height=50, width=61, interpolation="linear")
        np.testing.assert_array_equal(
            linear, cv2.resize(image, (61, 50), interpolation=cv2.INTER_LINEAR)
        )
        np.testing.assert_array_equal(medprep.median(image), cv2.medianBlur(image, 3))
        table = np.rint(255 * (np.arange(256) / 255) ** (1 / 1.2)).astype(np.uint8)
        np.testing.assert_array_equal(medprep.gamma(image, gamma=1.2), table[image])
    np.testing.assert_array_equal(medprep.rgb_to_lab(RGB), lab)
    np.testing.assert_array_equal(medprep.lab_to_rgb(lab), cv2.cvtColor(lab, cv2.COLOR_LAB2RGB))
    np.testing.assert_array_equal(medprep.clahe(GREY), clahe.apply(GREY))
    deep = GREY.astype(np.uint16) * 257
    np.testing.assert_array_equal(medprep.clahe(deep), clahe.apply(deep))


def test_other_memory_orders_are_taken_too():
    turned = np.asfortranarray(RGB)[::-1]
    np.testing.assert_array_equal(medprep.median(turned), cv2.medianBlur(turned.copy(), 3))


@pytest.mark.parametrize(
    "call",
    [
        lambda: medprep.resize(RGB, height=0, width=4),
        lambda: medprep.gamma(RGB, gamma=0.0),
        lambda: medprep.gamma(RGB, gamma=float("nan")),
        lambda: medprep.median(RGB, size=5),
        lambda: medprep.rgb_to_lab(GREY),
        lambda: medprep.clahe(RGB, tiles=0),
        lambda: medprep.median(RGB[:, :, :2]),
    ],
)
def test_values_that_cannot_be_raise_our_errors(call):
    with pytest.raises((MedprepError, ValueError)) as caught:
        call()
    assert str(caught.value)


@pytest.mark.parametrize("name", ["resize", "median", "gamma", "clahe", "rgb_to_lab", "lab_to_rgb"])
def test_another_dtype_is_refused_naming_the_ones_that_are_taken(name):
    words = {"resize": {"height": 4, "width": 4}, "gamma": {"gamma": 1.2}}.get(name, {})
    taken = "uint8" if "lab" in name else "uint8 or uint16"
    for dtype in (np.float32, np.int64, bool):
        with pytest.raises(
            SpecError, match=f"image must be of dtype {taken}, got {np.dtype(dtype)}"
        ):
            getattr(medprep, name)(RGB.astype(dtype), **words)


def test_an_unknown_interpolation_is_a_spec_error():
    with pytest.raises(SpecError, match='interpolation = "cubic"'):
        medprep.resize(RGB, height=4, width=4, interpolation="cubic")
    with pytest.raises(SpecError, match="no stable definition on 16-bit values"):
        medprep.resize(GREY.astype(np.uint16), height=4, width=4, interpolation="linear")


def test_shard_takes_the_words_of_the_flags(two_classes, tmp_path):
    report = medprep.shard(two_classes, tmp_path / "a", size="8x9", clahe="2:2", seed=1)
    same = medprep.shard(str(two_classes), str(tmp_path / "b"), size=(8, 9), clahe=(2.0, 2), seed=1)
    assert report.digest == same.digest
    assert report.to_json()["images"] == 20
    with pytest.raises(SpecError, match=r"seed: 1 there, 2 asked"):
        medprep.shard(two_classes, tmp_path / "a", size="8x9", clahe="2:2", seed=2)
    for words, message in (
        ({"dtype": "uint16"}, "dtype: uint8 there, uint16 asked"),
        ({"window": "40:400"}, "window.center: none there, 40.0 asked"),
        ({"frames": "first"}, "decode.frames: none there, first asked"),
    ):
        with pytest.raises(SpecError, match=message):
            medprep.shard(two_classes, tmp_path / "a", preset="plain", size="8x9", seed=1, **words)
    with pytest.raises(UsageError, match="engine must be one of"):
        medprep.shard(two_classes, tmp_path / "c", engine="threds")
