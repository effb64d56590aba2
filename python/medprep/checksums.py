"""The CRC-32C of every row, as `OUT/records/<shard>.json` holds them, one small file a shard."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medprep import _core


def of_shard(out: Path, name: str, count: int) -> NDArray[np.uint32] | None:
    """(count,) CRC-32C of each row's pixels; None where OUT has no usable record of the shard.

    Records are no part of what must travel with the shards, so their absence is no damage.
    """
    path = out / "records" / f"{Path(name).stem}.json"
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
        found = np.array([row["crc32c"] for row in rows], np.uint32)
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return None
    return found if len(found) == count else None


def crc32c(image: NDArray[Any]) -> int:
    """CRC-32C of an image's bytes in C order."""
    return _core.crc32c(image.tobytes())
