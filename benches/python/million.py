"""What the bookkeeping of a large data set costs: time and memory of plan, shard, merge and verify.

    python benches/python/million.py /tmp/million --images 1000000

Makes a folder of hard links to a few 8 x 8 PNGs, so that the images cost next to nothing and what
is measured is lists, plans, records and manifests. Every phase runs in a process of its own; its
peak memory is the kernel's ru_maxrss.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from medprep.png import encode_png

_LINKS = 30_000  # to one file; file systems end somewhere above
_FOLDER = 10_000  # names in one folder
_PHASES = {
    "plan": "from medprep.cli import main; main(['plan', SRC, OUT, '--size', '8', *SHARDS])",
    "shard": "from medprep.cli import main; main(['shard', SRC, OUT])",
    "merge": "from medprep.cli import main; main(['merge', OUT])",
    "verify": "from medprep.cli import main; main(['verify', OUT])",
}


def make_source(root: Path, images: int) -> None:
    """`images` names in two class folders for very few files."""
    rng = np.random.default_rng(0)
    file = root
    for number in range(images):
        folder = root / ("a", "b")[number % 2] / f"{number // _FOLDER:05}"
        if number % _FOLDER < 2:
            folder.mkdir(parents=True, exist_ok=True)
        name = folder / f"patient-{number:08}.png"
        if number % _LINKS == 0:
            name.write_bytes(encode_png(rng.integers(0, 256, (8, 8, 1), np.uint8), level=1))
            file = name
        else:
            os.link(file, name)


def measure(phase: str, src: Path, out: Path, per_shard: int) -> dict[str, float]:
    """Seconds and GiB of one phase."""
    shards = ["--shard-samples", str(per_shard)]
    names = f"SRC, OUT, SHARDS = {str(src)!r}, {str(out)!r}, {shards!r}\n"
    report = (
        "import atexit, json, resource\n"
        "atexit.register(lambda: print(json.dumps("
        "resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)))\n"
    )
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", report + names + _PHASES[phase]],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - start
    if done.returncode != 0:
        raise SystemExit(f"{phase} ended with {done.returncode}")
    peak_kib = json.loads(done.stdout.splitlines()[-1])
    return {"seconds": round(seconds, 1), "peak_gib": round(peak_kib / 2**20, 3)}


def main() -> None:
    """Measure all phases and print one line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--shard-samples", type=int, default=4096)
    arguments = parser.parse_args()
    folder, images = arguments.folder, arguments.images
    src, out = folder / "src", folder / f"out-{arguments.shard_samples}"
    if not src.exists():
        make_source(src, images)
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {images} images")
    for phase in _PHASES:
        found = measure(phase, src, out, arguments.shard_samples)
        print(f"{phase:<7} {found['seconds']:8.1f} s  {found['peak_gib']:7.3f} GiB", flush=True)


if __name__ == "__main__":
    main()
