"""Both kernels turn the same bytes into the same pixels, or refuse them for the same reason."""

import io
import zlib

import numpy as np
import pytest
from PIL import Image

from medprep.errors import DecodeError, LimitError, UsageError
from medprep.kernels import make_kernel
from medprep.pipeline import PipelineSpec
from medprep.steps import Clahe, Decode, Gamma, Median, Resize

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
        (encoded(30, 30, kind="GIF"), DecodeError),
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


def test_an_unknown_kernel_is_refused():
    with pytest.raises(UsageError, match="kernels: rust, python"):
        make_kernel("cuda", PLAIN)
