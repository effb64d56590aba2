"""DICOM headers: medprep's reader against sequential pydicom and pydicom under Dask, interleaved.

All read the same attributes of the same files and stop before the pixels. Worker processes of Dask
are started before the clock, and every reader runs once uncounted.
"""

from __future__ import annotations

import logging
import multiprocessing
import random
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module, metadata
from pathlib import Path
from statistics import median
from typing import Any

from medprep import _core
from medprep.sources.listing import may_be_dicom

KEYWORDS = (
    *("PatientID", "StudyInstanceUID", "ViewPosition", "PatientSex", "PatientAge"),
    *("PixelSpacing", "Rows", "Columns", "PhotometricInterpretation", "BitsStored"),
)
"""What every reader takes of a header: what `_core.read_dicom_headers` looks for."""

MEDPREP, SEQUENTIAL, DASK = "medprep", "pydicom, sequential", "pydicom, Dask processes"
_NEEDS = {SEQUENTIAL: ("pydicom",), DASK: ("pydicom", "dask")}
_PARTS_PER_WORKER = 4  # so that workers with small files help out

Read = Callable[[Path, Sequence[str]], int]
"""Reads the files below a folder and returns how many it could."""


@dataclass(slots=True)
class _Reader:
    name: str
    threads: int
    read: Read
    seconds: list[float] = field(default_factory=list)
    files_read: int = 0

    def __str__(self) -> str:
        return f"{self.name}, {self.threads} thread{'s' * (self.threads > 1)}"


def dicom_paths(root: Path, paths: Sequence[str], threads: int) -> list[str]:
    """The paths of the files, each once, whose DICOM header can be read."""
    some = [path for path in dict.fromkeys(paths) if may_be_dicom(path)]
    found = _core.read_dicom_headers(str(root), some, threads)
    return [path for path, header in zip(some, found, strict=True) if header["error"] is None]


def compare_headers(
    root: Path,
    paths: Sequence[str],
    threads: Sequence[int],
    *,
    repeats: int,
    seed: int = 0,
    progress: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Time all readers on all files, `repeats` rounds in new orders after one that is not counted.

    Returns the JSON-ready report; readers whose package is not installed are named in `left_out`.
    """
    left_out = missing_readers()
    with ExitStack() as stack:
        readers = _readers(stack, sorted(set(threads)), left_out)
        order = random.Random(seed)
        for number in range(1 + repeats):
            for reader in order.sample(readers, len(readers)):
                begin = time.perf_counter()
                reader.files_read = reader.read(root, paths)
                seconds = time.perf_counter() - begin
                if number:
                    reader.seconds.append(seconds)
                    progress(f"headers, round {number}/{repeats}: {reader} {seconds:.3f} s")
    return _report(readers, left_out, files=len(paths))


def missing_readers() -> dict[str, str]:
    """The readers that cannot run here, and what to install."""
    missing: dict[str, str] = {}
    for name, packages in _NEEDS.items():
        absent = [package for package in packages if not _is_installed(package)]
        if absent:
            missing[name] = f"{', '.join(absent)} not installed (pip install {' '.join(absent)})"
    return missing


def _is_installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def _readers(stack: ExitStack, threads: list[int], left_out: dict[str, str]) -> list[_Reader]:
    readers = [
        _Reader(MEDPREP, count, partial(read_with_medprep, threads=count)) for count in threads
    ]
    if SEQUENTIAL not in left_out:
        readers.append(_Reader(SEQUENTIAL, 1, read_with_pydicom))
    if DASK not in left_out:
        for count in threads:
            pool = stack.enter_context(dask_pool(count))
            readers.append(_Reader(DASK, count, partial(read_with_dask, pool=pool, workers=count)))
    return readers


def read_with_medprep(root: Path, paths: Sequence[str], *, threads: int) -> int:
    """How many headers the core reads."""
    found = _core.read_dicom_headers(str(root), paths, threads)
    return sum(header["error"] is None for header in found)


def read_with_pydicom(root: Path, paths: Sequence[str]) -> int:
    """How many headers pydicom reads, one after the other."""
    return sum(_pydicom_header(root / path) is not None for path in _quietly(paths))


@contextmanager
def dask_pool(workers: int) -> Iterator[Executor]:
    """Worker processes for `read_with_dask`, started afresh as Dask does by default."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn) as pool:
        yield pool


def read_with_dask(root: Path, paths: Sequence[str], *, pool: Executor, workers: int) -> int:
    """How many headers pydicom reads in the processes of `pool`, by a Dask bag."""
    bag = import_module("dask.bag").from_sequence(
        list(paths), npartitions=min(len(paths), _PARTS_PER_WORKER * workers)
    )
    counts = bag.map_partitions(partial(_count_part, root))
    found = counts.compute(scheduler="processes", pool=pool, num_workers=workers)
    return int(sum(found))


def _count_part(root: Path, paths: Sequence[str]) -> list[int]:
    return [read_with_pydicom(root, list(paths))]


def _quietly(paths: Sequence[str]) -> Iterator[str]:
    """The paths, while nothing that pydicom says of their headers, names perhaps, gets out."""
    logger = logging.getLogger("pydicom")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield from paths
    finally:
        logger.setLevel(level)


def _pydicom_header(path: Path) -> list[str] | None:
    pydicom = import_module("pydicom")
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True)
        return [str(header.get(keyword, "")) for keyword in KEYWORDS]
    except Exception:  # whatever it stumbles over is a file it does not read, which is counted
        return None


def _report(readers: list[_Reader], left_out: dict[str, str], *, files: int) -> dict[str, Any]:
    baseline = next((r for r in readers if r.name == SEQUENTIAL), readers[0])
    base = median(baseline.seconds)
    return {
        "files": files,
        "baseline": str(baseline),
        "rows": [
            {
                "reader": reader.name,
                "threads": reader.threads,
                "seconds": reader.seconds,
                "median_seconds": median(reader.seconds),
                "files_per_s": files / median(reader.seconds),
                "speedup": base / median(reader.seconds),
                "files_read": reader.files_read,
            }
            for reader in sorted(readers, key=lambda r: (r.name, r.threads))
        ],
        "left_out": left_out,
    }
