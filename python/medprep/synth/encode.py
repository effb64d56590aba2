"""From pixels to the bytes of a PNG or JPEG file."""

from __future__ import annotations

import io

import numpy as np

from medprep.png import encode_png

JPEG_QUALITY = 92


def encode(image: np.ndarray, image_format: str) -> bytes:
    """Encode an image as `png` or `jpeg`.

    image: (H, W, 3) uint8, RGB. The same image gives the same bytes; nothing but pixels is stored.
    """
    return encode_png(image) if image_format == "png" else encode_jpeg(image)


def encode_jpeg(image: np.ndarray) -> bytes:
    """Encode an RGB image as baseline JPEG with Pillow, which matplotlib brings along.

    image: (H, W, 3) uint8.
    """
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()
