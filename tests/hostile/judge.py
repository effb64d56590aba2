"""The process that meets the hostile files: paths on stdin, one JSON verdict a line on stdout.

It may die; `run_hostile` notices and starts another.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import medprep
from medprep import _core
from medprep.errors import DecodeError, ImageError
from medprep.kernels import make_kernel
from medprep.pipeline import from_json

GIB = 2**30
SPEC = {
    "steps": [
        {"step": "decode", "channels": "rgb"},
        {"step": "resize", "height": 32, "width": 32, "mode": "stretch", "interpolation": "area"},
        {"step": "clahe", "clip_limit": 2.0, "tiles": 4},
    ],
    "dtype": "uint8",
}


def status_bytes(field: str) -> int:
    """A field of /proc/self/status in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(field)


def verdict(work: Callable[[], np.ndarray]) -> dict[str, Any]:
    """`ok` or the reason; CPU seconds, so that a busy machine makes nothing hang."""
    start = time.process_time()
    try:
        found: dict[str, Any] = {"ok": True, "shape": list(work().shape)}
    except ImageError as error:
        found = {"ok": False, "kind": type(error).__name__, "reason": str(error)}
    except BaseException as error:  # whatever it is, it must not have come out
        found = {"ok": False, "kind": "ESCAPED", "reason": f"{type(error).__name__}: {error}"}
    return {**found, "seconds": time.process_time() - start}


def is_known(data: bytes) -> bool:
    """True when the core knows the format, however damaged the rest is."""
    try:
        _core.probe(data)
    except DecodeError as error:
        return not str(error).startswith("cannot decode image")
    except ImageError:
        return True
    return True


def judge(path: str, kernels: dict[str, Callable[[bytes], np.ndarray]]) -> dict[str, Any]:
    """All verdicts about one file, and the memory they took beyond what was there."""
    data = Path(path).read_bytes()
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark begins here
    before = status_bytes("VmRSS")
    verdicts = {name: verdict(lambda k=kernel: k(data)) for name, kernel in kernels.items()}  # type: ignore[misc]
    verdicts["dicom"] = verdict(lambda: medprep.decode_dicom(data))
    verdicts["dicom-stored"] = verdict(
        lambda: medprep.decode_dicom(data, window=None, frames="all")
    )
    extra = status_bytes("VmHWM") - before
    return {"verdicts": verdicts, "known": is_known(data), "extra_bytes": extra}


def main() -> None:
    """Judge until stdin ends."""
    spec = from_json(SPEC)
    kernels: dict[str, Callable[[bytes], np.ndarray]] = {
        "rust": make_kernel("rust", spec),
        "keep": make_kernel("rust", spec, keep_damaged=True),
        "python": make_kernel("python", spec),
    }
    # Beyond this the allocator refuses, and the process dies rather than the machine.
    limit = status_bytes("VmSize") + 4 * GIB
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps(judge(line.rstrip("\n"), kernels)), flush=True)


if __name__ == "__main__":
    main()
