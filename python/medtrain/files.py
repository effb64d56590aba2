"""Files that are whole or absent: temporary sibling, fsync, rename, fsync of the folder."""

from __future__ import annotations

import json
import os
import socket
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def temporary_sibling(path: Path) -> Path:
    """A name beside `path` that no other process or host uses."""
    nonce = uuid.uuid4().hex[:8]
    return path.with_name(f".{path.name}.tmp-{socket.gethostname()}-{os.getpid()}-{nonce}")


def sync(path: Path) -> None:
    """Force a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Replace `path` by `text`; a reader sees the old or the new file, never a part."""
    temporary = temporary_sibling(path)
    try:
        temporary.write_text(text, encoding="utf-8")
        sync(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Replace `path` by a JSON object."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")
