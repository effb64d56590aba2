"""Pixels equal OpenCV's bit for bit; where they cannot, a test says by how much and when."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from format_samples import FORMATS
from parity_checks import CHECKS, check_all_colours, opencv_decode, our_decode
from parity_samples import (
    chunk,
    exif_orientation,
    png_file,
    random_image,
    random_jpeg,
    with_segments,
)

from medprep import _core
from medprep.errors import DecodeError, MedprepError

SEED = 20261121

# Images per check: together about 20 s on one 2.5 GHz core.
COUNTS = {
    "decode JPEG": 1000,
    "decode JPEG with EXIF": 500,
    "decode JPEG reduced": 300,
    "decode PNG": 1000,
    "decode TIFF": 300,
    "decode TIFF with JPEG": 50,
    "decode BMP": 300,
    "decode GIF": 100,
    "decode WebP lossless": 50,
    "decode WebP lossy": 100,
    "decode 16 bits": 200,
    "resize, median, gamma 16 bits": 200,
    "resize": 1000,
    "fit": 200,
    "clahe": 500,
    "clahe16": 100,
    "median": 500,
    "gamma": 300,
}


@pytest.fixture(autouse=True, scope="module")
def one_opencv_thread():
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(before)


@pytest.mark.parametrize("name", list(CHECKS))
def test_random_images_equal_opencv(name: str) -> None:
    rng = np.random.default_rng(SEED)
    results = [r for _ in range(COUNTS[name]) for r in CHECKS[name](rng)]
    wrong = [f"{r.what}: {r.differing} of {r.values}" for r in results if r.differing]
    assert not wrong, f"{len(wrong)} of {len(results)} differ, first {wrong[:3]}"


def test_all_colours_equal_opencv_both_ways() -> None:
    for result in check_all_colours(np.random.default_rng(SEED)):
        assert (result.values, result.differing) == (3 << 24, 0), result.what


@pytest.mark.real_data
def test_real_images_equal_opencv(real_data: Path) -> None:
    files = [
        path
        for path in sorted(real_data.rglob("*"))
        if path.suffix.lower() in (".jpg", ".jpeg", ".png") and "hostile" not in path.parts
    ]
    # A third of them; `make parity` compares all.
    chosen = files[::3]
    assert len(chosen) > 300
    for path in chosen:
        data = path.read_bytes()
        for channels in ("rgb", "grey"):
            ours, theirs = _core.decode(data, channels), opencv_decode(data, channels)
            assert theirs is not None and np.array_equal(ours, theirs), f"{path} {channels}"


# -- hostile files -------------------------------------------------------------------------------

# JPEG and PNG of data/hostile that OpenCV decodes and we refuse, with the reason. All others but
# damaged JPEGs are taken or refused by both; what both take is equal.
REFUSED_ON_PURPOSE = {
    "bomb-20000x20000-8bit.png": "over the limit of 178956970",
    # A fuzzed frame header; no encoder samples brightness more coarsely than colour.
    "dc0a440b2dd436b1aff68e8040b0f9ebfd5102ac.jpg": "first component is sampled more coarsely",
}
# Of the other formats: what OpenCV decodes and we do not, by reason.
NOT_BUILT_IN = {
    "TIFF of signed samples": 1,
    "CCITT group 3 fax": 1,
    "CCITT group 4 fax": 7,
    "CIE Lab": 1,
    "Cmyk, Jpeg": 1,
    "found a PNM image": 2,
    "found text": 1,  # a PNM written as text
    "found a JPEG 2000 image": 3,
    "no color table": 1,  # a GIF without any palette, which OpenCV shows black
}
# What we decode and OpenCV refuses: 4-bit grey TIFF, and a GIF of transparent pixels only.
OURS_ALONE = {"hopper_gray_4bpp.tif", "no_palette_with_background.gif"}


def _is_jpeg_or_png(data: bytes) -> bool:
    return data.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"))


@pytest.mark.real_data
def test_hostile_files_are_equal_or_refused_with_a_reason(real_data: Path) -> None:
    files = [path for path in sorted((real_data / "hostile").rglob("*")) if path.is_file()]
    assert len(files) > 500
    equal = damaged = 0
    for path in files:
        data = path.read_bytes()
        if not _is_jpeg_or_png(data):
            continue
        if path.name in REFUSED_ON_PURPOSE:
            with pytest.raises(MedprepError, match=REFUSED_ON_PURPOSE[path.name]):
                _core.decode(data)
            continue
        try:
            ours = _core.decode(data)
        except MedprepError as error:
            if opencv_decode(data, "rgb") is not None:
                # Only ever a JPEG that libjpeg warns about and repairs.
                assert data.startswith(b"\xff\xd8"), f"{path}: {error}"
                assert isinstance(error, DecodeError), f"{path}: {error}"
                damaged += 1
            continue
        theirs = opencv_decode(data, "rgb")
        assert theirs is not None and np.array_equal(ours, theirs), path
        equal += 1
    assert (equal, damaged) == (172, 24)


@pytest.mark.real_data
def test_hostile_files_of_other_formats_are_equal_or_on_the_list(real_data: Path) -> None:
    equal, refused, alone = 0, Counter[str](), set()
    for path in sorted((real_data / "hostile").rglob("*")):
        data = path.read_bytes() if path.is_file() else b""
        if not data or _is_jpeg_or_png(data):
            continue
        theirs = opencv_decode(data, "rgb")
        try:
            ours = _core.decode(data)
        except MedprepError as error:
            if theirs is not None:
                reasons = [reason for reason in NOT_BUILT_IN if reason in str(error)]
                assert len(reasons) == 1, f"{path}: {error}"
                refused[reasons[0]] += 1
            continue
        if theirs is None:
            alone.add(path.name)
            continue
        assert np.array_equal(ours, theirs), path
        equal += 1
    assert (equal, dict(refused), alone) == (30, NOT_BUILT_IN, OURS_ALONE)


@pytest.mark.real_data
def test_kept_damaged_files_never_crash_and_keep_their_shape(real_data: Path) -> None:
    decoded = 0
    for path in sorted((real_data / "hostile").rglob("*.jp*g")):
        data = path.read_bytes()
        ours = our_decode(data, "rgb", keep_damaged=True)
        theirs = opencv_decode(data, "rgb")
        if ours is not None and theirs is not None:
            assert ours.shape == theirs.shape, path
            decoded += 1
    assert decoded > 50


# -- known differences ---------------------------------------------------------------------------


def test_animated_png_as_grey_differs_by_one_at_most() -> None:
    """OpenCV reads animations by another path: grey by cvtColor instead of libpng's weights.

    Colour is equal (the first frame); grey is up to 1 off on colour animations. No medical
    collection we know of holds animated PNG.
    """
    rng = np.random.default_rng(SEED)
    values = rng.integers(0, 256, (20, 30, 4))
    values[..., 3] = 255
    control = (30).to_bytes(4, "big") + (20).to_bytes(4, "big") + bytes(8) + b"\0\1\0\1\0\0"
    before = chunk(b"acTL", b"\0\0\0\2\0\0\0\0") + chunk(b"fcTL", bytes(4) + control)
    still = png_file(rng, values, color=6, depth=8)
    pixels = still[still.index(b"IDAT") - 4 : still.index(b"IEND") - 4]
    bodies = b""
    while pixels:
        length = int.from_bytes(pixels[:4], "big")
        bodies += pixels[8 : 8 + length]
        pixels = pixels[12 + length :]
    after = chunk(b"fcTL", b"\0\0\0\1" + control) + chunk(b"fdAT", b"\0\0\0\2" + bodies)
    data = png_file(rng, values, color=6, depth=8, before=before, after=after)
    assert np.array_equal(_core.decode(data), opencv_decode(data, "rgb"))
    theirs = opencv_decode(data, "grey")
    assert theirs is not None
    assert np.abs(_core.decode(data, "grey").astype(int) - theirs).max() == 1


def test_a_truncated_jpeg_is_refused_although_opencv_may_repair_it() -> None:
    rng = np.random.default_rng(SEED)
    noise = rng.integers(0, 256, (64, 64, 3)).astype(np.uint8)
    data = cv2.imencode(".jpg", noise)[1].tobytes()
    cut = data[: len(data) * 3 // 4]
    with pytest.raises(DecodeError, match="cannot decode JPEG: premature end"):
        _core.decode(cut)
    kept = _core.decode(cut, "rgb", True)
    whole = _core.decode(data)
    assert kept.shape == whole.shape
    assert np.array_equal(kept[:16], whole[:16])  # what came before the cut is there


def test_every_orientation_equals_opencv() -> None:
    rng = np.random.default_rng(SEED)
    jpeg = cv2.imencode(".jpg", random_image(rng, 13, 29, 3))[1].tobytes()
    for value in range(11):
        for endian in "<>":
            exif = b"Exif\0\0" + exif_orientation(value, endian=endian)
            data = with_segments(jpeg, (0xE1, exif))
            theirs = opencv_decode(data, "rgb")
            assert np.array_equal(_core.decode(data), theirs), (value, endian)
            probe = _core.probe(data)
            assert theirs is not None
            assert (probe["height"], probe["width"]) == theirs.shape[:2]
            assert probe["orientation"] == (value if 1 <= value <= 8 else 1)


def test_flipped_bits_never_crash_and_clean_results_are_mostly_equal() -> None:
    """Damage that leaves valid codes cannot be seen; such pixels may differ from OpenCV's."""
    rng = np.random.default_rng(SEED)
    both = unequal = 0
    for _ in range(300):
        _, data = random_jpeg(rng)
        broken = bytearray(data)
        broken[rng.integers(2, len(broken))] ^= 1 << int(rng.integers(0, 8))
        our_decode(bytes(broken), "rgb", keep_damaged=True)
        ours, theirs = our_decode(bytes(broken), "rgb"), opencv_decode(bytes(broken), "rgb")
        if ours is not None and theirs is not None:
            both += 1
            unequal += not np.array_equal(ours, theirs)
    assert both > 50
    assert unequal <= both // 20, f"{unequal} of {both}"


def test_mutated_files_of_the_other_formats_decode_or_are_refused() -> None:
    rng = np.random.default_rng(SEED)
    decoded = refused = 0
    for kind, make in FORMATS.items():
        for _ in range(40):
            data = bytearray(make(rng)[1])
            kept = bytes(data[:16])
            for _ in range(rng.integers(1, 6)):
                data[rng.integers(0, len(data))] ^= 1 << int(rng.integers(0, 8))
            data[:16] = kept if kind.startswith("WebP") else kept[:4] + bytes(data[4:16])
            cut = int(rng.integers(20, len(data) + 1)) if rng.integers(0, 4) == 0 else len(data)
            for decode in (_core.decode, _core.decode_wide):
                try:
                    decode(bytes(data[:cut]))
                    decoded += 1
                except MedprepError as error:
                    assert "gave up" not in str(error), f"{kind}: {error}"
                    refused += 1
    assert decoded > 50 and refused > 50
