"""`medprep.decode_dicom`: stored values, windows, frames, and refusals by name."""

from __future__ import annotations

import struct
from io import BytesIO
from pathlib import Path

import dicom_files
import numpy as np
import pytest
from dicom_files import dicom, element, lut, sequence
from PIL import Image

import medprep
from medprep import _core
from medprep.errors import DecodeError, LimitError, MedprepError, StepError, UnsupportedError


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


@pytest.mark.parametrize("photometric", ["MONOCHROME2", "YBR_RCT"])
def test_a_transfer_syntax_that_is_not_built_in_is_refused_by_name(photometric) -> None:
    data = dicom(
        ramp("uint8"),
        syntax=dicom_files.JPEG_2000,
        photometric=photometric,
        fragments=[b"\xff\x4f\xff\x51"],
    )
    with pytest.raises(UnsupportedError, match=r"JPEG 2000 Lossless \(1\.2\.840\."):
        medprep.decode_dicom(data)


def test_damage_and_lies_are_errors_with_reasons() -> None:
    whole = dicom(ramp("uint16"))
    with pytest.raises(DecodeError):
        medprep.decode_dicom(whole[:-40])
    with pytest.raises(DecodeError, match="too few for frame 50"):
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


def test_all_predictors_of_lossless_jpeg_give_the_pixels_back() -> None:
    rng = np.random.default_rng(7)
    pixels = rng.integers(0, 4096, (13, 9), dtype=np.uint16)
    for predictor in range(1, 8):
        for point_transform in (0, 2):
            stream = dicom_files.lossless_jpeg(
                pixels, precision=12, predictor=predictor, point_transform=point_transform
            )
            data = dicom(
                pixels, syntax=dicom_files.JPEG_LOSSLESS, bits_stored=12, fragments=[stream]
            )
            expected = pixels >> point_transform << point_transform
            np.testing.assert_array_equal(medprep.decode_dicom(data, window=None), expected)


def test_bits_beside_the_stored_ones_are_overlays_and_left_out() -> None:
    pixels = np.arange(48, dtype=np.uint16).reshape(6, 8) * 80
    with_overlay = pixels | (np.arange(48, dtype=np.uint16).reshape(6, 8) % 16 << 12)
    data = dicom(with_overlay, bits_stored=12)
    np.testing.assert_array_equal(medprep.decode_dicom(data, window=None), pixels)
    shifted = dicom(pixels << 4 | 5, bits_stored=12, high_bit=15)
    np.testing.assert_array_equal(medprep.decode_dicom(shifted, window=None), pixels)
    signed = (np.arange(48, dtype=np.int16).reshape(6, 8) - 24) * 80
    data = dicom(signed & 0x0FFF, bits_stored=12)
    np.testing.assert_array_equal(medprep.decode_dicom(data, window=None), signed)


def test_a_modality_lut_comes_before_the_window() -> None:
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    entries = np.arange(10, 42, dtype=np.uint16)[::-1] * 100
    modality = sequence(0x0028, 0x3000, [lut(entries, first=16, bits=16)])
    shown = medprep.decode_dicom(dicom(pixels, window=(2500, 3000), sequences=modality))
    values = entries[np.clip(pixels.astype(int) - 16, 0, 31)].astype(float)
    expected = np.rint(np.clip((values - 2499.5) / 2999 + 0.5, 0, 1) * 255)
    np.testing.assert_array_equal(shown, expected)


def test_a_voi_lut_goes_before_the_window_and_fills_the_grey_levels() -> None:
    pixels = np.arange(64, dtype=np.uint16).reshape(8, 8)
    entries = (np.arange(32) ** 2 % 1024).astype(np.uint16)
    voi = sequence(0x0028, 0x3010, [lut(entries, first=-8, bits=10)])
    data = dicom(pixels, rescale=(1, -20), window=(1, 2), sequences=voi)
    expected = np.rint(entries[np.clip(pixels.astype(int) - 20 + 8, 0, 31)] / 1023 * 255)
    np.testing.assert_array_equal(medprep.decode_dicom(data), expected)


def test_the_first_of_several_windows_is_used() -> None:
    pixels = np.arange(0, 1000, dtype=np.uint16).reshape(20, 50)
    several = dicom(pixels, window=("500\\40", "300\\400"))
    one = dicom(pixels, window=(500, 300))
    np.testing.assert_array_equal(medprep.decode_dicom(several), medprep.decode_dicom(one))


def test_padding_takes_no_part_in_the_range_of_values() -> None:
    pixels = np.array([[0, 5, 9], [100, 150, 200]], dtype=np.uint16)
    padding = {(0x0028, 0x0120): ("US", struct.pack("<H", 0))}
    shown = medprep.decode_dicom(dicom(pixels, more=padding))
    np.testing.assert_array_equal(shown, np.rint(np.clip((pixels - 5.0) / 195, 0, 1) * 255))
    padding[0x0028, 0x0121] = ("US", struct.pack("<H", 10))
    shown = medprep.decode_dicom(dicom(pixels, more=padding))
    np.testing.assert_array_equal(shown, np.rint(np.clip((pixels - 100.0) / 100, 0, 1) * 255))


def voi_group(center: float, width: float) -> bytes:
    window = element(0x0028, 0x1050, "DS", f"{center}".encode())
    window += element(0x0028, 0x1051, "DS", f"{width}".encode())
    return sequence(0x0028, 0x9132, [window])


def rescale_group(slope: float, intercept: float) -> bytes:
    rescale = element(0x0028, 0x1052, "DS", f"{intercept}".encode())
    rescale += element(0x0028, 0x1053, "DS", f"{slope}".encode())
    return sequence(0x0028, 0x9145, [rescale])


def test_frames_of_enhanced_files_have_windows_of_their_own() -> None:
    stack = np.stack([ramp("uint16") // 64 + 10 * i for i in range(3)])
    groups = sequence(0x5200, 0x9229, [rescale_group(2, -100)])
    windows = [(300, 500), (500, 700), (900, 1100)]
    groups += sequence(0x5200, 0x9230, [voi_group(*window) for window in windows])
    shown = medprep.decode_dicom(dicom(stack, frames=3, sequences=groups), frames="all")
    for frame, image, (center, width) in zip(stack, shown, windows, strict=True):
        values = frame * 2.0 - 100
        expected = np.clip((values - (center - 0.5)) / (width - 1) + 0.5, 0, 1)
        np.testing.assert_array_equal(image, np.rint(expected * 255))
    middle = medprep.decode_dicom(dicom(stack, frames=3, sequences=groups))
    np.testing.assert_array_equal(middle, shown[1])


def test_sixteen_bit_levels_of_a_window_reach_from_black_to_white() -> None:
    pixels = np.arange(0, 4096, dtype=np.uint16).reshape(64, 64)
    data = dicom(pixels, bits_stored=12, window=(2048, 4096))
    expected = np.rint(pixels / 4095 * 65535)
    np.testing.assert_array_equal(_core.decode_dicom_u16(data), expected)
    inverted = dicom(pixels, bits_stored=12, window=(2048, 4096), photometric="MONOCHROME1")
    np.testing.assert_array_equal(_core.decode_dicom_u16(inverted), 65535 - expected)


def test_planes_are_interleaved() -> None:
    rgb = np.random.default_rng(1).integers(0, 65536, (5, 7, 3), dtype=np.uint16)
    data = dicom(rgb, photometric="RGB", planar=1)
    np.testing.assert_array_equal(medprep.decode_dicom(data, window=None), rgb)


def test_single_bits_are_shown_black_and_white_and_frames_share_bytes() -> None:
    bits = np.random.default_rng(2).integers(0, 2, (3, 3, 5), dtype=np.uint8)
    data = dicom(
        bits,
        frames=3,
        bits_allocated=1,
        pixel_bytes=np.packbits(bits.reshape(-1), bitorder="little").tobytes(),
    )
    np.testing.assert_array_equal(medprep.decode_dicom(data, frames="all"), bits * 255)
    np.testing.assert_array_equal(medprep.decode_dicom(data, frames="middle"), bits[1] * 255)


def test_a_segmented_palette_is_expanded() -> None:
    indices = np.arange(12, dtype=np.uint8).reshape(3, 4) % 8
    more = dict(dicom_files.palette(np.zeros((8, 3), np.uint16)))
    for channel in range(3):
        del more[0x0028, 0x1201 + channel]
        # Two discrete entries and a ramp of six to 0xFF00.
        units = struct.pack("<7H", 0, 2, 0, 0x1000 * (channel + 1), 1, 6, 0xFF00)
        more[0x0028, 0x1221 + channel] = ("OW", units)
    shown = medprep.decode_dicom(dicom(indices, photometric="PALETTE COLOR", more=more))
    ramps = []
    for channel in range(3):
        low = 0x1000 * (channel + 1)
        ramps.append([0, low, *(low + (0xFF00 - low) * step // 6 for step in range(1, 7))])
    expected = (np.array(ramps).T[indices] >> 8).astype(np.uint8)
    np.testing.assert_array_equal(shown, expected)


def frames_in_fragments(count: int) -> tuple[list[np.ndarray], list[list[bytes]]]:
    """Frames of lossless JPEG and each one's fragments, two for every second frame."""
    rng = np.random.default_rng(3)
    frames = [rng.integers(0, 256, (9, 7), dtype=np.uint8) for _ in range(count)]
    parts = []
    for i, frame in enumerate(frames):
        stream = dicom_files.lossless_jpeg(frame, precision=8)
        stream += b"\0" * (len(stream) % 2)
        parts.append([stream[:40], stream[40:]] if i % 2 else [stream])
    return frames, parts


@pytest.mark.parametrize("table", ["none", "right", "wrong"])
def test_fragments_find_their_frames(table: str) -> None:
    frames, parts = frames_in_fragments(3)
    offsets = [0]
    for frame in parts[:-1]:
        offsets.append(offsets[-1] + sum(8 + len(part) for part in frame))
    offsets = {"none": [], "right": offsets, "wrong": [7 + i for i in offsets]}[table]
    data = dicom(
        np.stack(frames),
        syntax=dicom_files.JPEG_LOSSLESS_SV1,
        frames=3,
        fragments=[part for frame in parts for part in frame],
        table=offsets,
    )
    shown = medprep.decode_dicom(data, window=None, frames="all")
    np.testing.assert_array_equal(shown, np.stack(frames))


def test_bytes_after_a_jpegs_end_are_not_looked_at() -> None:
    pixels = np.add.outer(np.arange(24), np.arange(32)).astype(np.uint8)
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    plain = dicom(pixels, syntax=dicom_files.JPEG_BASELINE, fragments=[buffer.getvalue()])
    for tail in (b"\0", b"\0\0\0", b"\xff\xff\0\0", b"junk"):
        fragments = [buffer.getvalue() + tail]
        padded = dicom(pixels, syntax=dicom_files.JPEG_BASELINE, fragments=fragments)
        np.testing.assert_array_equal(medprep.decode_dicom(padded), medprep.decode_dicom(plain))


def test_padding_after_native_pixels_is_fine_and_too_few_are_an_error() -> None:
    pixels = ramp("uint8", 3, 5)
    surplus = dicom(pixels, pixel_bytes=pixels.tobytes() + b"\0\0\0")
    np.testing.assert_array_equal(medprep.decode_dicom(surplus), pixels)
    with pytest.raises(DecodeError, match="Pixel Data has 14 bytes, too few"):
        medprep.decode_dicom(dicom(pixels, pixel_bytes=pixels.tobytes()[:14]))
    with pytest.raises(DecodeError, match="no Pixel Data"):
        whole = dicom(pixels, pixel_bytes=b"")
        medprep.decode_dicom(whole[: -len(element(0x7FE0, 0x0010, "OB", b""))])


def test_a_header_that_asks_for_more_than_the_caps_is_refused_before_memory_is() -> None:
    large = {(0x0028, 0x0010 + i): ("US", struct.pack("<H", 65535)) for i in (0, 1)}
    fragments = [dicom_files.lossless_jpeg(ramp("uint8"), precision=8)]
    for data in (
        dicom(ramp("uint8"), more=large),
        dicom(ramp("uint8"), more=large, syntax=dicom_files.JPEG_LOSSLESS, fragments=fragments),
        dicom(ramp("uint8"), more=large, syntax=dicom_files.RLE, fragments=[bytes(64)]),
    ):
        with pytest.raises(LimitError, match="number of pixels is 4294836225"):
            medprep.decode_dicom(data)


def mutants(count: int) -> list[bytes]:
    """Valid files of many kinds with bytes changed, cut out or doubled, from a seed."""
    import dicom_cases

    files = [case.data for case in dicom_cases.cases()]
    groups = sequence(0x5200, 0x9229, [rescale_group(2, -100)])
    groups += sequence(0x5200, 0x9230, [voi_group(5, 9), voi_group(6, 9)])
    files.append(dicom(np.stack([ramp("int16")] * 2), frames=2, sequences=groups))
    rng = np.random.default_rng(11)
    made = []
    for index in range(count):
        data = bytearray(files[index % len(files)])
        for _ in range(rng.integers(1, 4)):
            at = int(rng.integers(128, len(data)))
            kind = rng.integers(4)
            if kind == 0:
                data[at] = int(rng.integers(256))
            elif kind == 1:
                data[at : at + 4] = bytes(rng.choice([0, 1, 127, 128, 254, 255], 4).tolist())
            elif kind == 2:
                del data[at : at + int(rng.integers(1, 16))]
            else:
                data[at:at] = data[at : at + int(rng.integers(1, 16))]
        made.append(bytes(data))
    return made


def test_mutated_files_end_in_an_error_or_pixels() -> None:
    decoded = 0
    for data in mutants(4000):
        for window in ("auto", None):
            try:
                medprep.decode_dicom(data, window=window, frames="all")
            except MedprepError as error:
                assert "the decoder gave up" not in str(error), "a panic was caught"
                continue
            decoded += 1
    assert 0 < decoded < 8000


def write_headers(folder: Path) -> None:
    text = {
        (0x0010, 0x0020): ("LO", b"P-0017"),
        (0x0010, 0x0040): ("CS", b"F"),
        (0x0018, 0x1164): ("DS", b"0.2\\0.3"),
        (0x0018, 0x5101): ("CS", b"PA"),
        (0x0020, 0x000D): ("UI", b"1.2.826.0.1"),
        (0x0020, 0x0062): ("CS", b"L"),
    }
    for index, (syntax, age) in enumerate(
        [
            (dicom_files.EXPLICIT_LE, b"045Y"),
            (dicom_files.IMPLICIT_LE, b"018M"),
            (dicom_files.EXPLICIT_BE, b"99"),
            (dicom_files.DEFLATED, b""),
        ]
    ):
        more = text | ({(0x0010, 0x1010): ("AS", age)} if age else {})
        data = dicom(ramp("uint16"), bits_stored=12, syntax=syntax, more=more, frames=1)
        (folder / f"{index}.dcm").write_bytes(data)
    (folder / "4.dcm").write_bytes(b"no image")


def test_headers_of_many_files_are_read_in_order(tmp_path: Path) -> None:
    write_headers(tmp_path)
    paths = [f"{index}.dcm" for index in range(5)]
    *found, broken = _core.read_dicom_headers(str(tmp_path), paths, 2)
    assert [header["age_years"] for header in found] == [45, 1.5, 90, None]
    for header, syntax in zip(
        found,
        (
            dicom_files.EXPLICIT_LE,
            dicom_files.IMPLICIT_LE,
            dicom_files.EXPLICIT_BE,
            dicom_files.DEFLATED,
        ),
        strict=True,
    ):
        del header["age_years"]
        assert header == {
            "patient_id": "P-0017",
            "study_uid": "1.2.826.0.1",
            "view": "PA",
            "laterality": "L",
            "sex": "F",
            "spacing": [0.2, 0.3],
            "rows": 6,
            "columns": 8,
            "photometric": "MONOCHROME2",
            "bits_stored": 12,
            "samples": 1,
            "frames": 1,
            "transfer_syntax": syntax,
            "has_pixels": True,
            "error": None,
        }
    assert broken["stage"] == "decode"
    assert broken["error"].startswith("4.dcm: cannot decode DICOM: not a DICOM file")


def test_headers_are_read_only_inside_the_folder(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out.dcm").write_bytes(dicom(ramp("uint8")))
    found = _core.read_dicom_headers(str(tmp_path / "in"), ["../out.dcm"], 1)
    assert "leads out of the source folder" in found[0]["error"]


CANARY = b"CANARYDOE"


def test_messages_never_hold_values_of_the_header() -> None:
    """The canary in every text, with every kind of failure that comes after it was read."""
    numbers = [(0x0008, 0x0020), (0x0008, 0x0018), (0x0010, 0x0010), (0x0010, 0x0020)]
    numbers += [(0x0010, 0x1010), (0x0028, 0x1050), (0x0028, 0x1052), (0x0028, 0x0004)]
    pixels = ramp("uint8")
    for at in ((0x0028, 0x0008), (0x0028, 0x0004), (0x0028, 0x1050), (0x0002, 0x0010)):
        more = {tag: ("LO", CANARY) for tag in numbers if tag[0] != 0x0028}
        syntax = dicom_files.EXPLICIT_LE
        if at == (0x0002, 0x0010):
            syntax = CANARY.decode()
        else:
            more[at] = ("CS", CANARY)
        data = dicom(pixels, syntax=syntax, more=more)
        for damaged in (data, data[:-9], data[: data.rindex(CANARY) + 4]):
            try:
                medprep.decode_dicom(damaged)
            except MedprepError as error:
                assert "CANARY" not in str(error)
