"""Rows of arrays as files for one run: engines read files, whatever the source.

Lossless PNG in a hidden folder inside OUT, which every process of a run can see; made for the
missing shards only and removed when the run ends. What a killed run leaves, the next one removes.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import socket
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from medprep.errors import UsageError
from medprep.png import encode_png
from medprep.sources import root_of
from medprep.sources.array_files import ArrayInfo, read_headers, read_rows
from medprep.sources.arrays import NAME as ARRAYS
from medprep.sources.arrays import check_images, float_scale, row_of, to_uint8
from medprep.storage import make_folder, storage_error

_FOLDER = re.compile(r"\.staged-(?P<host>.+)-(?P<pid>\d+)-[0-9a-f]{8}")


@contextlib.contextmanager
def readable_root(src: Path, out: Path, layout: str, paths: Iterable[str]) -> Iterator[Path]:
    """The folder in which a run finds `paths`: SRC's own, or for arrays one made for the moment.

    Raises UsageError when an array file is damaged or changed, StorageError for trouble with OUT.
    """
    if layout != ARRAYS:
        yield root_of(src).resolve()
        return
    remove_leftovers(out)
    folder = out.resolve() / f".staged-{_host()}-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        _write_rows(root_of(src), folder, paths)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_leftovers(out: Path) -> None:
    """Remove the folders of runs on this machine that are no more."""
    for folder in out.glob(".staged-*"):
        found = _FOLDER.fullmatch(folder.name)
        if found is not None and found["host"] == _host() and not _is_alive(int(found["pid"])):
            shutil.rmtree(folder, ignore_errors=True)


def _write_rows(root: Path, folder: Path, paths: Iterable[str]) -> None:
    wanted: dict[tuple[str, str | None], list[int]] = defaultdict(list)
    for path in paths:
        file, member, row = row_of(path)
        wanted[file, member].append(row)
    for (file, member), rows in wanted.items():
        info = read_headers(root, file).get(Path(file).stem if member is None else member)
        if info is None or max(rows) >= info.shape[0]:
            raise UsageError(
                f"{root / file}: changed since it was planned",
                hint="--overwrite makes the data set anew",
            )
        _write_array(root, folder, info, sorted(rows))


def _write_array(root: Path, folder: Path, info: ArrayInfo, rows: list[int]) -> None:
    check_images(root, info)
    separator = "#" if info.member is None else "/"
    parent = folder / (info.file if info.member is None else info.name)
    make_folder(parent.parent if info.member is None else parent)
    scale = float_scale(root, info) if info.dtype.kind == "f" else None
    for row, image in zip(rows, read_rows(root, info, rows), strict=True):
        pixels = (
            image if scale is None else to_uint8(image, scale, f"{root / info.name}, row {row}")
        )
        target = folder / f"{info.name}{separator}{row}"
        try:
            target.write_bytes(encode_png(np.asarray(pixels, dtype=np.uint8)))
        except OSError as error:
            raise storage_error(target, "write", error) from error


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _host() -> str:
    return socket.gethostname().replace("/", "")[:64] or "localhost"
