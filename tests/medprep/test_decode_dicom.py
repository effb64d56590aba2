"""`medprep.decode_dicom`: stored values, windows, frames, and refusals by name."""

from __future__ import annotations

import csv
import hashlib
from io import BytesIO
from pathlib import Path

import dicom_files
import numpy as np
import pytest
from dicom_files import dicom
from PIL import Image

import medprep
from medprep.errors import DecodeError, LimitError, StepError, UnsupportedError


def ramp(dtype: str, height: int = 6, width: int = 8) -> np.ndarray:
    info = np.iinfo(dtype)
    values = np.linspace(info.min, info.max, height * width)
    return values.astype(dtype).reshape(height, width)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
def test_stored_values_come_back_in_the_files_own_type(dtype: str) -> None:
    pixels = ramp(dtype)
    stored = medprep.decode_dicom(dicom(pixels), window=None)
    assert stored.dtype == pixels.dtype
    np.testing.assert_array_equal(stored, pixels)


def test_eight_bits_without_window_or_rescale_are_shown_as_they_are() -> None:
    pixels = ramp("uint8")
    np.testing.assert_array_equal(medprep.decode_dicom(dicom(pixels)), pixels)


def test_sixteen_bits_without_a_window_are_shown_from_smallest_to_largest() -> None:
    pixels = np.array([[100, 300], [200, 500]], dtype=np.uint16)
    shown = medprep.decode_dicom(dicom(pixels, bits_stored=12))
    np.testing.assert_array_equal(shown, np.rint((pixels - 100.0) / 400 * 255))


def test_the_files_window_applies_to_modality_values() -> None:
    # PS3.3 C.11.2.1.2.1 with centre 40, width 400 on HU = stored - 1024.
    pixels = np.arange(700, 1400, dtype=np.uint16).reshape(25, 28)
    shown = medprep.decode_dicom(dicom(pixels, rescale=(1, -1024), window=(40, 400)))
    hu = pixels.astype(float) - 1024
    expected = np.rint(np.clip((hu - 39.5) / 399 + 0.5, 0, 1) * 255)
    np.testing.assert_array_equal(shown, expected)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_every_voi_function_follows_the_standard(function: str) -> None:
    x = np.arange(0, 1000, dtype=np.uint16).reshape(20, 50)
    shown = medprep.decode_dicom(dicom(x, window=(500, 300), function=function))
    fraction = {
        "LINEAR": (x - 499.5) / 299 + 0.5,
        "LINEAR_EXACT": (x - 500.0) / 300 + 0.5,
        "SIGMOID": 1 / (1 + np.exp(-4 * (x - 500.0) / 300)),
    }[function]
    np.testing.assert_array_equal(shown, np.rint(np.clip(fraction, 0, 1) * 255))


def test_a_window_of_the_callers_replaces_the_files() -> None:
    pixels = np.arange(0, 256, dtype=np.uint8).reshape(16, 16)
    shown = medprep.decode_dicom(dicom(pixels, window=(1, 2)), window=(128, 64))
    expected = np.rint(np.clip((pixels - 127.5) / 63 + 0.5, 0, 1) * 255)
    np.testing.assert_array_equal(shown, expected)
    with pytest.raises(StepError, match="width"):
        medprep.decode_dicom(dicom(pixels), window=(128, 0))


def test_monochrome1_is_inverted_after_the_window() -> None:
    pixels = np.arange(0, 1000, dtype=np.uint16).reshape(20, 50)
    as2 = medprep.decode_dicom(dicom(pixels, window=(500, 300)))
    as1 = medprep.decode_dicom(dicom(pixels, window=(500, 300), photometric="MONOCHROME1"))
    np.testing.assert_array_equal(as1, 255 - as2)


def test_frames_are_chosen() -> None:
    stack = np.stack([ramp("uint8") // 4 + 50 * i for i in range(4)])
    data = dicom(stack, frames=4)
    for wanted, expected in (("first", stack[0]), ("middle", stack[2]), ("all", stack)):
        shown = medprep.decode_dicom(data, frames=wanted, window=None)
        np.testing.assert_array_equal(shown, expected)


def test_rgb_and_full_range_ybr_become_rgb() -> None:
    rng = np.random.default_rng(1)
    rgb = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    np.testing.assert_array_equal(medprep.decode_dicom(dicom(rgb, photometric="RGB")), rgb)
    y, cb, cr = (rgb[..., i].astype(float) for i in range(3))
    expected = np.stack(
        [
            y + 1.402 * (cr - 128),
            y - 0.344136286 * (cb - 128) - 0.714136286 * (cr - 128),
            y + 1.772 * (cb - 128),
        ],
        axis=-1,
    )
    shown = medprep.decode_dicom(dicom(rgb, photometric="YBR_FULL"))
    assert np.abs(shown - np.clip(expected, 0, 255)).max() <= 0.5 + 1e-6


def test_jpeg_baseline_frames_equal_the_jpeg_decoder() -> None:
    pixels = (np.add.outer(np.arange(40), np.arange(56)) * 2).astype(np.uint8)
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=90)
    data = dicom(pixels, syntax=dicom_files.JPEG_BASELINE, fragments=[buffer.getvalue()])
    shown = medprep.decode_dicom(data)
    np.testing.assert_array_equal(shown, medprep.decode(buffer.getvalue())[..., 0])


def test_a_transfer_syntax_that_is_not_built_in_is_refused_by_name() -> None:
    data = dicom(ramp("uint8"), syntax=dicom_files.JPEG_2000, fragments=[b"\xff\x4f\xff\x51"])
    with pytest.raises(UnsupportedError, match=r"JPEG 2000 Lossless \(1\.2\.840\."):
        medprep.decode_dicom(data)


def test_damage_and_lies_are_errors_with_reasons() -> None:
    whole = dicom(ramp("uint16"))
    with pytest.raises(DecodeError):
        medprep.decode_dicom(whole[:-40])
    with pytest.raises(DecodeError, match="frame 50 needs"):
        medprep.decode_dicom(dicom(ramp("uint8"), frames=100))
    with pytest.raises(DecodeError):
        medprep.decode_dicom(b"not a DICOM file at all")
    with pytest.raises(LimitError, match="over the limit"):
        medprep.decode_dicom(dicom(ramp("uint8"), frames=2_000_000_000), frames="all")


def test_every_truncation_of_a_file_ends_in_an_error_or_pixels() -> None:
    data = dicom(ramp("int16"), rescale=(2.0, -5.0), window=(0, 100))
    for length in range(len(data)):
        try:
            medprep.decode_dicom(data[:length])
        except (DecodeError, UnsupportedError):
            continue
        assert length == len(data), f"{length} of {len(data)} bytes decoded without an error"


@pytest.mark.real_data
def test_real_files_of_the_built_in_syntaxes_equal_the_reference_decoder(real_data: Path) -> None:
    folder = real_data / "dicom-syntaxes"
    equal = 0
    with (folder / "reference.csv").open(newline="") as table:
        rows = [row for row in csv.DictReader(table) if row["decodes"] == "ok"]
    for row in rows:
        kind = row["path"].split("/")[0]
        if kind not in ("explicit-le", "implicit-le", "explicit-be", "rle"):
            continue
        try:
            stored = medprep.decode_dicom(
                (folder / row["path"]).read_bytes(), window=None, frames="all"
            )
        except (UnsupportedError, DecodeError):
            continue  # 1- and 32-bit, palettes, 16-bit colour, a meta group that lies
        if row["dtype"].startswith(">"):
            stored = stored.astype(stored.dtype.newbyteorder(">"))
        assert hashlib.sha256(stored.tobytes()).hexdigest() == row["pixel_sha256"], row["path"]
        equal += 1
    assert equal >= 38
