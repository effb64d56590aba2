"""From a DICOM file to a 416 x 416 grey image, one thread to one: read, decode, window, resize.

Peers are pydicom with NumPy and OpenCV, and for JPEG pydicom with pylibjpeg; they are no
dependencies. imagecodecs only writes the lossless JPEG of the generated files:

    pip install --target /tmp/dicom-extra pydicom pylibjpeg pylibjpeg-libjpeg imagecodecs
    PYTHONPATH=python:/tmp/dicom-extra taskset -c 1 python benches/python/dicom_speed.py

The peer is the documented way: pydicom's `pixel_array`, `apply_modality_lut` and `apply_windowing`,
scaled to 8 bits, then `cv2.resize`. The second peer has a window written by hand in float32, about
as fast as NumPy can be. Rounds are interleaved; the ratio of every round is taken, then the median.
Times are of the thread's CPU, so that a busy machine does not decide. Exit code 1 when a ratio to
the first peer misses its goal.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "medprep"))
import dicom_files as files
from dicom_files import dicom

from medprep import _core, machine

Reader = Callable[[Path, tuple[float, float]], np.ndarray]

SIDE, OUT = 1024, 416
WINDOW = (2048.0, 3000.0)

# How many times faster at least, per kind (issue 5).
GOALS = {"uncompressed, 16-bit": 5.0, "JPEG Baseline": 2.5, "JPEG Lossless SV1": 2.0}


def radiograph(bits: int) -> np.ndarray:
    """Smooth structure with the noise of a detector."""
    rng = np.random.default_rng(3)
    coarse = cv2.resize(rng.random((24, 24)).astype(np.float32), (SIDE, SIDE), interpolation=2)
    noise = rng.normal(0, 0.006, (SIDE, SIDE))
    levels = np.clip(coarse * 0.8 + 0.1 + noise, 0, 1) * ((1 << bits) - 1)
    return levels.astype(np.uint16 if bits > 8 else np.uint8)


def kinds() -> dict[str, tuple[bytes, tuple[float, float]]]:
    import imagecodecs

    deep, flat = radiograph(12), radiograph(8)
    baseline = BytesIO()
    Image.fromarray(flat).save(baseline, "JPEG", quality=92)
    lossless = imagecodecs.ljpeg_encode(deep, bitspersample=12)
    return {
        "uncompressed, 16-bit": (dicom(deep, bits_stored=12), WINDOW),
        "JPEG Baseline": (
            dicom(flat, syntax=files.JPEG_BASELINE, fragments=[baseline.getvalue()]),
            (128.0, 200.0),
        ),
        "JPEG Lossless SV1": (
            dicom(
                deep, bits_stored=12, syntax=files.JPEG_LOSSLESS_SV1, fragments=[bytes(lossless)]
            ),
            WINDOW,
        ),
    }


def ours(path: Path, window: tuple[float, float]) -> np.ndarray:
    return _core.decode_dicom_resized(path.read_bytes(), OUT, OUT, window)


def peer(path: Path, window: tuple[float, float]) -> np.ndarray:
    import pydicom
    from pydicom.pixels import apply_modality_lut, apply_windowing

    header = pydicom.dcmread(path)
    header.WindowCenter, header.WindowWidth = window
    shown = apply_windowing(apply_modality_lut(header.pixel_array, header), header)
    largest = (1 << header.BitsStored) - 1
    shown = np.rint(shown / largest * 255).astype(np.uint8)
    return cv2.resize(shown, (OUT, OUT), interpolation=cv2.INTER_AREA)


def tuned_peer(path: Path, window: tuple[float, float]) -> np.ndarray:
    import pydicom

    pixels = pydicom.dcmread(path).pixel_array
    center, width = window
    low = np.float32(center - 0.5 - (width - 1) / 2)
    shown = np.clip((pixels - low) * np.float32(255 / (width - 1)), 0, 255)
    shown = np.rint(shown).astype(np.uint8)
    return cv2.resize(shown, (OUT, OUT), interpolation=cv2.INTER_AREA)


def time_of(reader: Reader, path: Path, window: tuple[float, float], repeats: int) -> float:
    begin = time.thread_time()
    for _ in range(repeats):
        reader(path, window)
    return (time.thread_time() - begin) / repeats


def ratio_text(own: list[float], other: list[float]) -> tuple[float, str]:
    ratios = [b / a for a, b in zip(own, other, strict=True)]
    middle = statistics.median(ratios)
    return middle, f"{middle:5.1f} x ({min(ratios):.1f}-{max(ratios):.1f})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    missed = False
    print(f"{machine.cpu_model()}; {SIDE} x {SIDE} to {OUT} x {OUT}; {arguments.rounds} rounds")
    with tempfile.TemporaryDirectory() as folder:
        for name, (data, window) in kinds().items():
            path = Path(folder) / "image.dcm"
            path.write_bytes(data)
            difference = np.abs(ours(path, window).astype(int) - peer(path, window)).max()
            seconds: dict[Reader, list[float]] = {ours: [], peer: [], tuned_peer: []}
            for _ in range(arguments.rounds):
                for reader, times in seconds.items():
                    times.append(time_of(reader, path, window, arguments.repeats))
            ratio, text = ratio_text(seconds[ours], seconds[peer])
            _, tuned = ratio_text(seconds[ours], seconds[tuned_peer])
            missed |= ratio < GOALS[name]
            milliseconds = [1e3 * statistics.median(times) for times in seconds.values()]
            print(
                f"{name:22} {milliseconds[0]:6.2f} ms; peer {milliseconds[1]:6.2f} ms: {text},"
                f" goal {GOALS[name]}; tuned peer {milliseconds[2]:6.2f} ms: {tuned};"
                f" largest difference {difference}"
            )
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
