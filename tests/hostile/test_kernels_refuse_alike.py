"""OpenCV repairs and guesses; kernel python must not, or the two kernels make different shards."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import seeds
from canaries import NAME, find
from judge import SPEC

import medprep
from medprep import _core
from medprep.errors import DecodeError, LimitError, MedprepError, UnsupportedError
from medprep.kernels import make_kernel
from medprep.kernels.python import decode, load_opencv, sound_chunks
from medprep.pipeline import from_json

RNG = np.random.default_rng(3)
PICTURE = seeds.picture(RNG, 64, 72)
BASELINE = seeds.pillow_file(PICTURE, "JPEG", quality=90)
PROGRESSIVE = seeds.pillow_file(PICTURE, "JPEG", quality=90, progressive=True)
PNG = seeds.pillow_file(PICTURE, "PNG")


def refusals(data: bytes) -> list[type[MedprepError] | None]:
    found: list[type[MedprepError] | None] = []
    for name in ("rust", "python"):
        try:
            make_kernel(name, from_json(SPEC))(data)
            found.append(None)
        except MedprepError as error:
            found.append(type(error))
    return found


def damaged_inside(data: bytes, *, place: float) -> bytes:
    """Bytes of the entropy-coded data replaced by others without a marker among them."""
    start = data.index(b"\xff\xda") + 14
    at = start + int((len(data) - start) * place)
    return data[:at] + bytes([0x5A, 0xA7, 0x33, 0x91] * 8) + data[at + 32 :]


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("whole", [BASELINE, PROGRESSIVE], ids=["baseline", "progressive"])
def test_damage_inside_the_coded_data_has_one_verdict(whole, place):
    assert refusals(whole) == [None, None]
    rust, python = refusals(damaged_inside(whole, place=place))
    assert rust == python


def test_opencv_alone_would_take_a_jpeg_that_both_kernels_refuse():
    import cv2

    data = damaged_inside(BASELINE, place=0.985)  # the last codes lack data
    assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) is not None
    assert refusals(data) == [DecodeError, DecodeError]
    with pytest.raises(DecodeError) as ours:
        medprep.decode(data)
    with pytest.raises(DecodeError) as checked:
        _core.check_jpeg(data)
    assert str(ours.value) == str(checked.value)


def test_damage_after_which_coded_data_is_left_over_is_refused():
    assert refusals(damaged_inside(BASELINE, place=0.3)) == [DecodeError, DecodeError]


def test_the_check_passes_what_decodes_and_refuses_by_kind():
    for data in (BASELINE, PROGRESSIVE):
        _core.check_jpeg(data)
        _core.check_jpeg(data, "grey")
    frame = BASELINE.index(b"\xff\xc0")
    huge = BASELINE[: frame + 5] + b"\xff\xff\xff\xff" + BASELINE[frame + 9 :]
    with pytest.raises(LimitError, match="number of pixels"):
        _core.check_jpeg(huge)
    twelve_bits = BASELINE[: frame + 4] + b"\x0c" + BASELINE[frame + 5 :]
    with pytest.raises(UnsupportedError, match="12 bits"):
        _core.check_jpeg(twelve_bits)
    with pytest.raises(DecodeError, match="not a JPEG"):
        _core.check_jpeg(PNG)


def test_tables_and_scan_headers_that_do_not_add_up_are_refused_as_by_libjpeg():
    table = PROGRESSIVE.index(b"\xff\xc4")
    length = int.from_bytes(PROGRESSIVE[table + 2 : table + 4], "big")
    longer = struct.pack(">H", length + 3) + PROGRESSIVE[table + 4 : table + 2 + length] + bytes(3)
    data = PROGRESSIVE[: table + 2] + longer + PROGRESSIVE[table + 2 + length :]
    assert refusals(data) == [DecodeError, DecodeError]
    scan = PROGRESSIVE.index(b"\xff\xda")
    assert refusals(PROGRESSIVE[: scan + 3] + b"\x03" + PROGRESSIVE[scan + 4 :]) == [
        DecodeError,
        DecodeError,
    ]


def test_a_png_chunk_that_claims_two_gigabytes_is_refused_before_libpng_asks_for_them():
    at = PNG.index(b"IDAT") - 4
    data = PNG[:at] + struct.pack(">I", 2**31 - 1) + PNG[at + 4 :]
    assert refusals(data) == [DecodeError, DecodeError]
    with pytest.raises(DecodeError, match="premature end"):
        sound_chunks(data)


@pytest.mark.parametrize("kind", [b"IHDR", b"IDAT", b"IEND"])
def test_a_wrong_crc_of_a_chunk_that_matters_has_one_verdict(kind):
    at = PNG.rindex(kind)
    end = at + 4 + int.from_bytes(PNG[at - 4 : at], "big")
    data = PNG[:end] + bytes([PNG[end] ^ 1]) + PNG[end + 1 :]
    assert refusals(data) == [DecodeError, DecodeError]


def test_texts_in_a_png_change_no_pixel_and_what_follows_its_end_is_left_out():
    chunks = seeds.png_chunks(PNG)
    texts = [(b"tEXt", b"Author\0" + NAME.encode()), (b"zTXt", b"k\0\0" + zlib.compress(b"x"))]
    data = seeds.png_file([chunks[0], *texts, *chunks[1:]]) + b"appended"
    assert sound_chunks(data) == PNG
    assert np.array_equal(decode(load_opencv(), data, "rgb"), PICTURE)


def test_libpng_says_nothing_that_a_file_says():
    chunks = seeds.png_chunks(PNG)
    profile = (b"iCCP", NAME.encode() + b"\0\0" + zlib.compress(RNG.bytes(400)))
    code = (
        "import sys; from medprep.kernels import make_kernel; "
        "from medprep.pipeline import from_json; "
        f"make_kernel('python', from_json({SPEC!r}))(sys.stdin.buffer.read())"
    )
    data = seeds.png_file([chunks[0], profile, *chunks[1:]])
    done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, check=True)
    assert not find(done.stdout + done.stderr)
