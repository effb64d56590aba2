"""Headers of many DICOM files: medprep against sequential pydicom and Dask with pydicom.

The files are generated, 64 KiB to 2 MiB of pixels each behind a header with a nested sequence and
private elements; all readers take the same attributes and stop before the pixels. Rounds are
interleaved; the ratio of every round is taken, then the median. pydicom is no dependency:

    pip install --target /tmp/dicom-extra pydicom
    PYTHONPATH=python:/tmp/dicom-extra python benches/python/dicom_headers.py
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "medprep"))
from dicom_files import dicom, element, item, sequence

from medprep import _core, machine

KEYWORDS = (
    *("PatientID", "StudyInstanceUID", "ViewPosition", "PatientSex", "PatientAge"),
    *("PixelSpacing", "Rows", "Columns", "PhotometricInterpretation", "BitsStored"),
)


def generate(folder: Path, count: int) -> list[str]:
    rng = np.random.default_rng(1)
    names = []
    for index in range(count):
        side = int(rng.choice([180, 256, 512, 1024]))
        pixels = rng.integers(0, 4096, (side, side), dtype=np.uint16)
        reference = element(0x0008, 0x1155, "UI", b"1.2.826.0.1.3680043.8.498.1")
        more = {
            (0x0008, 0x0005): ("CS", b"ISO_IR 100"),
            (0x0008, 0x0060): ("CS", b"DX"),
            (0x0008, 0x1140): ("SQ", item(reference) * 3),
            (0x0009, 0x0010): ("LO", b"MAKER"),
            (0x0009, 0x1001): ("UN", rng.bytes(600)),
            (0x0010, 0x0020): ("LO", f"patient-{index // 3}".encode()),
            (0x0010, 0x0040): ("CS", b"M"),
            (0x0010, 0x1010): ("AS", b"061Y"),
            (0x0018, 0x5101): ("CS", b"PA"),
            (0x0020, 0x000D): ("UI", f"1.2.826.{index}".encode()),
            (0x0028, 0x0030): ("DS", b"0.168\\0.168"),
        }
        shared = sequence(0x5200, 0x9229, [sequence(0x0028, 0x9110, [b""])])
        data = dicom(pixels, bits_stored=12, more=more, sequences=shared)
        names.append(f"{index:05}.dcm")
        (folder / names[-1]).write_bytes(data)
    return names


def with_pydicom(path: Path) -> list[str]:
    import pydicom

    header = pydicom.dcmread(path, stop_before_pixels=True)
    return [str(header[keyword].value) for keyword in KEYWORDS]


def sequential_pydicom(root: Path, names: list[str], threads: int) -> int:
    return len([with_pydicom(root / name) for name in names])


def dask_pydicom(root: Path, names: list[str], threads: int) -> int:
    import dask.bag

    bag = dask.bag.from_sequence([root / name for name in names], npartitions=4 * threads)
    return len(bag.map(with_pydicom).compute(scheduler="processes", num_workers=threads))


def threads_pydicom(root: Path, names: list[str], threads: int) -> int:
    with ThreadPoolExecutor(threads) as pool:
        return len(list(pool.map(with_pydicom, [root / name for name in names])))


def ours(root: Path, names: list[str], threads: int) -> int:
    found = _core.read_dicom_headers(str(root), names, threads)
    assert all(header["error"] is None for header in found)
    return len(found)


def ours_one_thread(root: Path, names: list[str], threads: int) -> int:
    return ours(root, names, 1)


READERS: dict[str, Callable[[Path, list[str], int], int]] = {
    "medprep": ours,
    "medprep, 1 thread": ours_one_thread,
    "pydicom, sequential": sequential_pydicom,
    "pydicom, Dask processes": dask_pydicom,
    "pydicom, threads": threads_pydicom,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    seconds: dict[str, list[float]] = {name: [] for name in READERS}
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        names = generate(root, arguments.files)
        for reader in READERS.values():
            reader(root, names[:20], arguments.threads)
        for _ in range(arguments.rounds):
            for name, reader in READERS.items():
                begin = time.perf_counter()
                assert reader(root, names, arguments.threads) == len(names)
                seconds[name].append(time.perf_counter() - begin)
    print(machine.cpu_model())
    print(f"{arguments.files} files, {arguments.threads} threads, {arguments.rounds} rounds")
    for name, times in seconds.items():
        ratios = [other / own for other, own in zip(times, seconds["medprep"], strict=True)]
        print(
            f"{name:26} {arguments.files / statistics.median(times):9.0f} files/s"
            f"   medprep {statistics.median(ratios):6.1f} x ({min(ratios):.1f}-{max(ratios):.1f})"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
