"""Headers of many DICOM files: medprep against sequential pydicom and Dask with pydicom.

The files are generated, 64 KiB to 2 MiB of pixels each behind a header with a nested sequence and
private elements. The readers are those of `medprep bench`, in interleaved rounds; the ratio of
every round is taken, then the median. pydicom is no dependency:

    pip install --target /tmp/dicom-extra pydicom
    PYTHONPATH=python:/tmp/dicom-extra python benches/python/dicom_headers.py
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "medprep"))
from dicom_files import dicom, element, item, sequence

from medprep import machine
from medprep.bench.header_tables import header_text
from medprep.bench.headers import compare_headers


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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        names = generate(root, arguments.files)
        report = compare_headers(
            root, names, [1, arguments.threads], repeats=arguments.rounds, seed=1
        )
    print(machine.cpu_model())
    print(header_text(report))
    ours = next(row for row in report["rows"] if row["threads"] == arguments.threads)
    for row in report["rows"]:
        ratios = [other / own for other, own in zip(row["seconds"], ours["seconds"], strict=True)]
        print(
            f"{ours['reader']}, {ours['threads']} threads against {row['reader']}, "
            f"{row['threads']}: {statistics.median(ratios):.1f} x "
            f"({min(ratios):.1f}-{max(ratios):.1f})"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
