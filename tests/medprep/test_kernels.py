"""Both kernels turn the same bytes into the same pixels, or refuse them for the same reason."""

import io
import zlib

import numpy as np
import pytest
from dicom_files import dicom
from PIL import Image

import medprep
from medprep import _core
from medprep.errors import (
    DecodeError,
    ImageError,
    LimitError,
    SpecError,
    StepError,
    UsageError,
)
from medprep.kernels import make_kernel
from medprep.pipeline import PipelineSpec
from medprep.steps import Clahe, Decode, Gamma, Median, Resize, Window
from tiff_files import tiff_file

PHOTOMETRIC = (Clahe(clip_limit=2.0, tiles=4), Gamma(gamma=1.3), Median())


def encoded(height, width, *, mode="RGB", kind="JPEG", seed=0, **options):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).convert(mode)
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def kernels(spec):
    return make_kernel("rust", spec), make_kernel("python", spec)


@pytest.mark.parametrize("channels", ["rgb", "grey"])
@pytest.mark.parametrize("mode", ["stretch", "crop", "letterbox"])
@pytest.mark.parametrize("interpolation", ["area", "linear"])
def test_the_kernels_agree_for_every_way_of_resizing(channels, mode, interpolation):
    for seed, (height, width) in enumerate([(50, 31), (31, 50), (9, 70), (7, 5), (40, 40), (1, 1)]):
        step = Resize(height=24, width=37, mode=mode, interpolation=interpolation)
        spec = PipelineSpec((Decode(channels=channels), step, *PHOTOMETRIC))
        for kind in ("JPEG", "PNG"):
            data = encoded(height, width, kind=kind, seed=seed)
            rust, python = (kernel(data) for kernel in kernels(spec))
            assert rust.shape == (24, 37, 3 if channels == "rgb" else 1)
            assert rust.dtype == np.uint8
            np.testing.assert_array_equal(rust, python)


PLAIN = PipelineSpec((Decode(channels="rgb"), Resize(height=8, width=8)))


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", DecodeError),
        (b"hello, I am no image at all", DecodeError),
        (encoded(30, 30)[:-30], DecodeError),
        (encoded(30, 30, kind="PNG")[:-30], DecodeError),
        (b"%PDF-1.7 a document", DecodeError),
        (encoded(30, 30, kind="GIF")[:-30], DecodeError),
        (encoded(30, 30, kind="TIFF")[:-30], DecodeError),
        (encoded(30, 30, kind="BMP")[:-30], DecodeError),
    ],
)
def test_the_kernels_refuse_the_same_bytes(data, error):
    for kernel in kernels(PLAIN):
        with pytest.raises(error) as caught:
            kernel(data)
        assert caught.value.stage == "decode"
        assert "\n" not in str(caught.value)


def test_the_kernels_refuse_an_image_over_the_cap_before_decoding():
    header = bytearray(encoded(16, 16, kind="PNG"))
    header[16:24] = (20_000).to_bytes(4, "big") * 2
    header[29:33] = zlib.crc32(bytes(header[12:29])).to_bytes(4, "big")
    for kernel in kernels(PLAIN):
        with pytest.raises(LimitError, match="over the limit of 178956970"):
            kernel(bytes(header))


def test_a_jpeg_cut_anywhere_is_refused_and_what_follows_it_is_no_matter():
    data = encoded(40, 40, progressive=True)
    for kernel in kernels(PLAIN):
        for cut in range(2, len(data), 7):
            with pytest.raises(DecodeError):
                kernel(data[:cut])
            with pytest.raises(DecodeError):
                kernel(data[:cut] + bytes(50))  # the hole of an interrupted download
        # Cameras append whole images and bytes that look like the start of a scan.
        np.testing.assert_array_equal(kernel(data + b"trailer\xff\xda\x00\x01"), kernel(data))


# -- 16 bits, DICOM, further formats -------------------------------------------------------------

RNG = np.random.default_rng(11)


def deep_png(values):
    stream = io.BytesIO()
    Image.fromarray(values.astype(np.uint16)).save(stream, "PNG")
    return stream.getvalue()


GREY16 = RNG.integers(300, 3000, (45, 61))
CT = RNG.integers(-1000, 2000, (40, 52)).astype(np.int16)
BYTES = RNG.integers(0, 256, (40, 52), np.uint8)
INPUTS = {
    "JPEG": encoded(50, 31),
    "grey JPEG": encoded(33, 70, mode="L"),
    "16-bit PNG": deep_png(GREY16),
    "16-bit TIFF": tiff_file(GREY16[:, :, None], bits=16, compression=8, predictor=True),
    "16-bit RGB TIFF": tiff_file(RNG.integers(0, 65536, (30, 41, 3)), photometric=2, bits=16),
    "8-bit TIFF": encoded(30, 44, kind="TIFF", compression="tiff_lzw"),
    "GIF": encoded(30, 44, mode="P", kind="GIF"),
    "BMP": encoded(30, 44, kind="BMP"),
    "WebP": encoded(30, 44, kind="WEBP", lossless=True),
    "CT": dicom(CT, rescale=(1.0, -24.0), window=(40, 400)),
    "CT without window": dicom(CT, rescale=(2.0, 0.0)),
    "X-ray": dicom(GREY16.astype(np.uint16), bits_stored=12, photometric="MONOCHROME1"),
    "8-bit DICOM": dicom(BYTES),
    "colour DICOM": dicom(np.stack([BYTES, BYTES[::-1], 255 - BYTES], -1), photometric="RGB"),
    "frames": dicom(np.stack([CT, CT + 100, CT - 100]), frames=3),
}  # fmt: skip
WINDOWS = {
    "no step": (),
    "auto": (Window(mode="auto"),),
    "numbers": (Window(center=700.0, width=1500.0),),
    "none": (Window(mode="none"),),
}


def outcome(kernel, data):
    try:
        return kernel(data)
    except ImageError as error:
        return error


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("window", list(WINDOWS))
@pytest.mark.parametrize("channels", ["rgb", "grey"])
def test_the_kernels_agree_for_every_format_window_and_dtype(channels, window, dtype):
    clahe = (Clahe(clip_limit=3.0, tiles=2),) if channels == "grey" or dtype != "uint16" else ()
    decode = Decode(channels=channels, frames="first" if window == "auto" else None)
    for mode in ("stretch", "letterbox"):
        steps = (Resize(height=20, width=33, mode=mode), *clahe, Gamma(gamma=1.3), Median())
        spec = PipelineSpec((decode, *WINDOWS[window], *steps), dtype)
        for name, data in INPUTS.items():
            rust, python = (outcome(kernel, data) for kernel in kernels(spec))
            if isinstance(rust, ImageError) or isinstance(python, ImageError):
                assert window == "none", (name, rust, python)
                assert (
                    (type(rust), rust.stage)
                    == (type(python), python.stage)
                    == (StepError, "window")
                )
                continue
            assert rust.dtype == python.dtype == np.dtype(dtype)
            np.testing.assert_array_equal(rust, python, err_msg=name)


def plain(dtype, *steps, height=45, width=61):
    """Nothing but decoding and a window."""
    size = Resize(height=height, width=width)
    return PipelineSpec((Decode(channels="grey"), *steps, size), dtype)


def test_16_bit_values_stay_what_they_are_without_a_window():
    for name in ("16-bit PNG", "16-bit TIFF"):
        for kernel in kernels(plain("uint16")):
            np.testing.assert_array_equal(kernel(INPUTS[name])[:, :, 0], GREY16)
        for kernel in kernels(plain("float32")):
            expected = GREY16.astype(np.float32) / np.float32(65535)
            np.testing.assert_array_equal(kernel(INPUTS[name])[:, :, 0], expected)
        for kernel in kernels(plain("uint8")):
            np.testing.assert_array_equal(kernel(INPUTS[name])[:, :, 0], GREY16 >> 8)


def test_auto_shows_16_bit_files_from_their_smallest_to_their_largest_value():
    expected = np.rint((GREY16 - GREY16.min()) / (GREY16.max() - GREY16.min()) * 255)
    for kernel in kernels(plain("uint8", Window(mode="auto"))):
        shown = kernel(INPUTS["16-bit PNG"])[:, :, 0]
        assert (shown.min(), shown.max()) == (0, 255)
        assert np.abs(shown - expected).max() <= 1  # halves round by another formula


def test_dicom_is_shown_as_decode_dicom_does_and_by_its_own_window():
    for kernel in kernels(plain("uint8", height=40, width=52)):
        np.testing.assert_array_equal(
            kernel(INPUTS["CT"])[:, :, 0], medprep.decode_dicom(INPUTS["CT"])
        )
    hu = CT.astype(np.float64) - 24.0
    expected = np.rint(np.clip((hu - 39.5) / 399.0 + 0.5, 0, 1) * 65535)
    for kernel in kernels(plain("uint16", height=40, width=52)):
        np.testing.assert_array_equal(kernel(INPUTS["CT"])[:, :, 0], expected)


def test_stored_values_of_dicom_are_kept_on_request_if_they_fit():
    none = Window(mode="none")
    for kernel in kernels(plain("uint16", none)):
        np.testing.assert_array_equal(kernel(INPUTS["X-ray"])[:, :, 0], GREY16)
    for kernel in kernels(plain("uint16", none, height=40, width=52)):
        np.testing.assert_array_equal(kernel(INPUTS["CT"])[:, :, 0], CT + 32768.0)
        np.testing.assert_array_equal(kernel(INPUTS["8-bit DICOM"])[:, :, 0], BYTES)
    for kernel in kernels(plain("uint8", none)):
        with pytest.raises(StepError, match="12 stored bits do not fit the 8 of the output"):
            kernel(INPUTS["X-ray"])


def test_8_bit_files_are_widened_so_that_black_and_white_stay():
    for kernel in kernels(plain("uint16", height=40, width=52)):
        np.testing.assert_array_equal(
            kernel(INPUTS["8-bit DICOM"])[:, :, 0], 257 * BYTES.astype(int)
        )


@pytest.mark.parametrize("channels", ["rgb", "grey"])
def test_the_steps_after_the_resize_equal_their_functions_one_by_one(channels):
    spec = PipelineSpec(
        (
            Decode(channels=channels),
            Resize(height=37, width=50),
            Clahe(),
            Gamma(gamma=1.2),
            Median(),
        )
    )
    shape = (37, 50, 3) if channels == "rgb" else (37, 50)
    image = np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)
    expected = _core.median(_core.gamma(_core.clahe(image), 1.2))
    for given in (image, np.asfortranarray(image)):
        np.testing.assert_array_equal(_core.apply_to(given, spec.canonical()), expected)
    only_resized = PipelineSpec(spec.steps[:2]).canonical()
    np.testing.assert_array_equal(_core.apply_to(image, only_resized), image)


def test_specifications_in_turns_do_not_mix():
    start = (Decode(), Resize(height=8, width=9))
    image = np.random.default_rng(4).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    expected = {
        PipelineSpec((*start, Gamma(gamma=2.0))).canonical(): _core.gamma(image, 2.0),
        PipelineSpec((*start, Median())).canonical(): _core.median(image),
    }
    for _ in range(2):
        for spec_json, pixels in expected.items():
            with pytest.raises(SpecError):
                _core.apply_to(image, spec_json.replace("uint8", "int7"))
            np.testing.assert_array_equal(_core.apply_to(image, spec_json), pixels)


def test_an_image_of_another_shape_than_the_resize_makes_is_refused():
    spec = PipelineSpec((Decode(), Resize(height=8, width=9), Median()))
    with pytest.raises(SpecError, match=r"\(8, 9, 3\), got \(9, 8, 3\)"):
        _core.apply_to(np.zeros((9, 8, 3), np.uint8), spec.canonical())
    wide = PipelineSpec(spec.steps, "uint16").canonical()
    with pytest.raises(SpecError, match="dtype uint8"):
        _core.apply_to(np.zeros((8, 9, 3), np.uint8), wide)


def test_an_unknown_kernel_is_refused():
    with pytest.raises(UsageError, match="kernels: rust, python"):
        make_kernel("cuda", PLAIN)
