"""Compare medprep's pixels with OpenCV's on thousands of random images and all real ones.

`python tests/parity/run_parity.py --images 5000` prints one line a check: images, values compared,
values that differ. Exit code 1 when anything differs. `make parity` runs it.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import cv2
import numpy as np
from parity_checks import CHECKS, Comparison, check_all_colours, compare, opencv_decode, our_decode

# A 16-bit CLAHE costs OpenCV 65,536 levels a tile: fewer of them.
SHARE = {"clahe16": 0.1, "fit": 0.3}


def report(name: str, results: list[Comparison], seconds: float) -> int:
    """Print one line for a check and the first differences; return how many values differ."""
    values = sum(r.values for r in results)
    differing = sum(r.differing for r in results)
    counts = f"{len(results):8,} images {values:14,} values {differing:8,} differ"
    print(f"{name:24} {counts} {seconds:7.1f} s")
    for result in [r for r in results if r.differing][:5]:
        print(f"    {result.what}: {result.differing} of {result.values}")
    return differing


def real_images(folder: Path) -> list[Comparison]:
    """All JPEG and PNG files but the hostile ones, as RGB and as grey."""
    results = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in (".jpg", ".jpeg", ".png") or "hostile" in path.parts:
            continue
        data = path.read_bytes()
        for channels in ("rgb", "grey"):
            theirs, ours = opencv_decode(data, channels), our_decode(data, channels)
            if theirs is None or ours is None:
                differs = int((theirs is None) != (ours is None))
                results.append(Comparison(what=str(path), values=1, differing=differs))
            else:
                results.append(compare(f"{path} {channels}", ours, theirs))
    return results


def main() -> int:
    """Run every check; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=5000, help="random images per check")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[3] / "shared" / "data")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    print(f"OpenCV {cv2.__version__}, seed {args.seed}")
    differing = 0
    for name, check in CHECKS.items():
        rng, start = np.random.default_rng(args.seed), time.perf_counter()
        count = max(1, int(args.images * SHARE.get(name, 1)))
        results = [r for _ in range(count) for r in check(rng)]
        differing += report(name, results, time.perf_counter() - start)
    start = time.perf_counter()
    results = list(check_all_colours(np.random.default_rng(args.seed)))
    differing += report("Lab, all 2^24 both ways", results, time.perf_counter() - start)
    if args.data.is_dir():
        start = time.perf_counter()
        differing += report("real files", real_images(args.data), time.perf_counter() - start)
    else:
        print(f"no real images at {args.data}: skipped")
    return int(differing > 0)


if __name__ == "__main__":
    sys.exit(main())
