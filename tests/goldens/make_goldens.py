"""Write the golden pixels that the Rust tests compare with: OpenCV's results on small images.

`python tests/goldens/make_goldens.py` rewrites pixels.json beside this file (OpenCV 5.0.0.93,
x86-64). Inputs of resize and photometric cases are made from a seed by the same generator in Rust
(`noise`), so only their results are stored. Encoded files are stored whole, as hex.
"""

from __future__ import annotations

import io
import json
import struct
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "parity"))
from parity_samples import (
    PNG_KINDS,
    SAMPLINGS,
    chunk,
    exif_orientation,
    png_file,
    with_segments,
    without_huffman_tables,
)

FOLDER = Path(__file__).parent

# Made once with the encoder of libjpeg-turbo-rs 0.9.0 (no Python package writes these kinds).
ARITHMETIC = FOLDER / "arithmetic.jpg"
LOSSLESS = FOLDER / "lossless-grey.jpg"


def noise(seed: int, height: int, width: int, channels: int) -> np.ndarray:
    """The top byte of Knuth's MMIX generator, row by row; the same in the Rust tests."""
    state, values = seed, []
    for _ in range(height * width * channels):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        values.append(state >> 56)
    shape = (height, width) if channels == 1 else (height, width, channels)
    return np.array(values, np.uint8).reshape(shape)


def encoded(name: str, data: bytes) -> dict[str, object]:
    """A file and OpenCV's pixels of it, or null where OpenCV refuses."""
    case: dict[str, object] = {"name": name, "file": data.hex()}
    for channels, flag in (("rgb", cv2.IMREAD_COLOR), ("grey", cv2.IMREAD_GRAYSCALE)):
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
        if image is not None:
            pixels = np.ascontiguousarray(image[..., ::-1] if image.ndim == 3 else image)
            case[channels] = {"shape": list(image.shape[:2]), "pixels": pixels.tobytes().hex()}
        else:
            case[channels] = None
    return case


def jpeg_cases() -> list[dict[str, object]]:
    image, cases = noise(1, 11, 19, 3), []
    for name, factors in SAMPLINGS.items():
        for progressive in (0, 1):
            options = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factors]
            options += [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive, cv2.IMWRITE_JPEG_QUALITY, 60]
            options += [cv2.IMWRITE_JPEG_RST_INTERVAL, 0 if progressive else 1]
            data = cv2.imencode(".jpg", image, options)[1].tobytes()
            cases.append(encoded(f"{name} progressive {progressive}", data))
    plain = cv2.imencode(".jpg", image)[1].tobytes()
    cases.append(encoded("grey", cv2.imencode(".jpg", noise(2, 9, 8, 1))[1].tobytes()))
    buffer = io.BytesIO()
    Image.fromarray(image).convert("CMYK").save(buffer, "JPEG")
    cmyk = buffer.getvalue()
    at = cmyk.index(b"Adobe") + 11
    cases.append(encoded("CMYK, Adobe inverted", cmyk))
    cases.append(encoded("YCCK, Adobe inverted", cmyk[:at] + b"\x02" + cmyk[at + 1 :]))
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", keep_rgb=True)
    cases.append(encoded("RGB without YCbCr", buffer.getvalue()))
    cases.append(encoded("Motion-JPEG without tables", without_huffman_tables(plain)))
    cases.append(encoded("arithmetic coding", ARITHMETIC.read_bytes()))
    cases.append(encoded("lossless grey", LOSSLESS.read_bytes()))
    for value in (0, 2, 3, 4, 5, 6, 7, 8, 9):
        exif = (0xE1, b"Exif\0\0" + exif_orientation(value, endian="<>"[value % 2]))
        cases.append(encoded(f"EXIF orientation {value}", with_segments(plain, exif)))
    return cases


def png_cases() -> list[dict[str, object]]:
    rng, cases = np.random.default_rng(3), []
    for color, (samples, depths) in PNG_KINDS.items():
        for depth in depths:
            for interlaced in (False, True):
                values = rng.integers(0, 2**depth, (7, 9, samples))
                before = b""
                if color == 3:
                    palette = rng.integers(0, 256, (min(2**depth, 64), 3)).astype(np.uint8)
                    values %= len(palette)
                    before = chunk(b"PLTE", palette.tobytes()) + chunk(b"tRNS", b"\x80\0")
                data = png_file(
                    rng, values, color=color, depth=depth, interlaced=interlaced, before=before
                )
                name = f"PNG colour {color} depth {depth} interlaced {int(interlaced)}"
                cases.append(encoded(name, data))
    for depth in (8, 16):
        values = rng.integers(0, 2**depth, (5, 6, 3))
        values[0, :, 1:] = values[0, :, :1]
        for name, extra in {
            "gamma 0.45455": chunk(b"gAMA", struct.pack(">I", 45455)),
            "gamma 2.2 and sRGB": chunk(b"gAMA", struct.pack(">I", 220000)) + chunk(b"sRGB", b"\0"),
            "gamma 2.2": chunk(b"gAMA", struct.pack(">I", 220000)),
        }.items():
            data = png_file(rng, values, color=2, depth=depth, before=extra)
            cases.append(encoded(f"PNG {name} depth {depth}", data))
    values = rng.integers(0, 256, (4, 7, 3))
    turned = chunk(b"eXIf", exif_orientation(6))
    for name, kind in {"before": {"before": turned}, "after": {"after": turned}}.items():
        data = png_file(rng, values, color=2, depth=8, **kind)
        cases.append(encoded(f"PNG eXIf {name} the pixels", data))
    return cases


def resize_cases() -> list[dict[str, object]]:
    # whole ratios, 2 x 2, one axis enlarged, thin images, a copy, fractions
    sizes = [((8, 12), (4, 6)), ((9, 12), (3, 4)), ((8, 8), (2, 2)), ((17, 23), (7, 5))]
    sizes += [((5, 7), (11, 9)), ((5, 7), (13, 4)), ((1, 31), (3, 10)), ((31, 1), (10, 3))]
    sizes += [((20, 20), (19, 20)), ((64, 48), (21, 22)), ((3, 3), (3, 3)), ((1, 1), (4, 5))]
    sizes += [((12, 30), (12, 7)), ((10, 10), (5, 2))]
    cases = []
    for seed, ((h, w), (height, width)) in enumerate(sizes):
        for channels in (1, 3):
            image = noise(seed, h, w, channels)
            for name, flag in (("area", cv2.INTER_AREA), ("linear", cv2.INTER_LINEAR)):
                pixels = cv2.resize(image, (width, height), interpolation=flag)
                cases.append(
                    {
                        "seed": seed,
                        "from": [h, w],
                        "to": [height, width],
                        "channels": channels,
                        "interpolation": name,
                        "pixels": pixels.tobytes().hex(),
                    }
                )
    return cases


def clahe_cases() -> list[dict[str, object]]:
    cases = []
    for seed, (h, w, clip, tiles) in enumerate(
        [
            (16, 16, 2.0, 4),
            (16, 17, 2.0, 4),
            (13, 9, 0.0, 8),
            (1, 20, 3.0, 3),
            (20, 1, 40.0, 2),
            (7, 7, 0.01, 1),
        ]
    ):
        image = noise(seed, h, w, 1) // 2
        wide = (image.astype(np.uint16) << 5) + 7
        opencv = cv2.createCLAHE(clip, (tiles, tiles))
        cases.append(
            {
                "seed": seed,
                "size": [h, w],
                "clip": clip,
                "tiles": tiles,
                "pixels": opencv.apply(image).tobytes().hex(),
                "pixels16": opencv.apply(wide).astype("<u2").tobytes().hex(),
            }
        )
    return cases


def photometric_cases() -> dict[str, object]:
    rgb = noise(7, 16, 16, 3)
    codes = np.arange(1 << 24, dtype=np.uint32)
    colours = np.stack([codes & 255, (codes >> 8) & 255, codes >> 16], -1)
    colours = colours.astype(np.uint8).reshape(4096, 4096, 3)
    medians = []
    for seed, (h, w, channels) in enumerate(
        [(5, 6, 1), (5, 6, 3), (1, 9, 1), (9, 1, 3), (1, 1, 3), (2, 2, 1)]
    ):
        image = noise(seed, h, w, channels)
        medians.append(
            {
                "seed": seed,
                "shape": [h, w, channels],
                "pixels": cv2.medianBlur(image, 3).tobytes().hex(),
            }
        )
    gammas = [0.1, 0.45, 1.0, 1.2, 2.2, 5.0]
    tables = [
        np.rint(255 * (np.arange(256) / 255) ** (1 / g)).astype(np.uint8).tobytes().hex()
        for g in gammas
    ]
    return {
        "lab": cv2.cvtColor(rgb, cv2.COLOR_RGB2Lab).tobytes().hex(),
        "rgb": cv2.cvtColor(rgb, cv2.COLOR_Lab2RGB).tobytes().hex(),
        # CRC-32 of all 2^24 results; red (L) is the lowest byte of the count.
        "all_lab_crc32": zlib.crc32(cv2.cvtColor(colours, cv2.COLOR_RGB2Lab).tobytes()),
        "all_rgb_crc32": zlib.crc32(cv2.cvtColor(colours, cv2.COLOR_Lab2RGB).tobytes()),
        "clahe": clahe_cases(),
        "median": medians,
        "gamma": [{"gamma": g, "table": t} for g, t in zip(gammas, tables, strict=True)],
    }


def main() -> None:
    """Write pixels.json, one case a line."""
    sections = {
        "decode": jpeg_cases() + png_cases(),
        "resize": resize_cases(),
        "photometric": [photometric_cases()],
    }
    lines = []
    for name, cases in sections.items():
        body = ",\n".join(json.dumps(case) for case in cases)
        lines.append(f'"{name}": [\n{body}\n]')
    origin = json.dumps(f"make_goldens.py, OpenCV {cv2.__version__}, NumPy {np.__version__}")
    text = '{"origin": ' + origin + ",\n" + ",\n".join(lines) + "}\n"
    (FOLDER / "pixels.json").write_text(text, encoding="ascii")


if __name__ == "__main__":
    main()
