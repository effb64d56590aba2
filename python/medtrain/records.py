"""A run's memory: `records.jsonl`, one JSON object a line, and `status.json`.

Knows no torch, so that reports can read it anywhere.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from medtrain import files

FILE_NAME = "records.jsonl"
STATUS_NAME = "status.json"


class Recorder:
    """Appends events; `path` None writes nothing (every rank but the first)."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def write(self, event: str, **values: object) -> None:
        """Append one event with the time; a crash tears the last line at most."""
        if self._path is None:
            return
        record = {"event": event, **values, "time": now()}
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(finite(record), allow_nan=False) + "\n")


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The events of a file; torn lines are left out."""
    with path.open(encoding="utf-8", errors="replace") as stream:
        for line in stream:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict) and "event" in record:
                yield record


def rewind(path: Path, step: int) -> None:
    """Forget steps and epochs after `step`: they will be done again by the resumed run."""
    if not path.is_file():
        return
    kept = [
        json.dumps(record)
        for record in read(path)
        if record["event"] not in ("step", "epoch") or record.get("step", 0) <= step
    ]
    files.write_text(path, "".join(f"{line}\n" for line in kept))


def write_status(run: Path, state: str, *, epoch: int, epochs: int, message: str) -> None:
    """Replace RUN/status.json; what scripts read when torchrun owns the exit code."""
    status = {"state": state, "epoch": epoch, "epochs": epochs, "message": message, "time": now()}
    files.write_json(run / STATUS_NAME, status)


def read_status(run: Path) -> dict[str, Any]:
    """RUN/status.json; empty when there is none or it is damaged."""
    try:
        status = json.loads((run / STATUS_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return status if isinstance(status, dict) else {}


def now() -> str:
    """The time as ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def finite(value: object) -> Any:  # noqa: ANN401 (JSON in, the same JSON out)
    """The value with NaN and infinity as None: JSON has no words for them."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return value
