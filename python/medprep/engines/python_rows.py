"""Drive kernel python: images one by one or in a thread pool, rows appended in plan order."""

from __future__ import annotations

import json
import os
import stat
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medprep import _core
from medprep.engines.job import Job, Progress, Stop
from medprep.errors import ImageError, LimitError, ReadError
from medprep.kernels import Kernel, make_kernel
from medprep.plan import PlannedShard, read_samples, sample_json
from medprep.report import EngineResult
from medprep.types import PlannedSample

_MAX_FILE_BYTES = 512 * 2**20  # as the core's Limits


@dataclass(slots=True)
class _Tally:
    """Counts and seconds of this run, told to `progress` after every image."""

    progress: Progress
    images: int = 0
    failed: int = 0
    shards: int = 0
    seconds: dict[str, float] = field(
        default_factory=lambda: {"read": 0.0, "kernel": 0.0, "write": 0.0, "commit": 0.0}
    )

    def add(self, outcome: _Outcome, is_stored: bool, write_s: float) -> None:
        self.images += is_stored
        self.failed += not is_stored
        self.seconds["read"] += outcome.read_s
        self.seconds["kernel"] += outcome.kernel_s
        self.seconds["write"] += write_s
        self.tell()

    def tell(self) -> None:
        self.progress(self.images, self.failed, self.shards)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of one input: pixels or the error that is to blame on it.

    boxes: (M, 5) float32 in the stored image, for samples that have boxes.
    """

    image: NDArray[Any] | None
    error: ImageError | None
    read_s: float
    kernel_s: float
    boxes: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes one row; safe to call from several threads."""

    root: str
    kernel: Kernel
    spec_json: str

    def __call__(self, sample: PlannedSample) -> _Outcome:
        start = time.perf_counter()
        try:
            data = _read(self.root, sample.path)
        except ImageError as error:
            return _Outcome(None, error, time.perf_counter() - start, 0.0)
        between = time.perf_counter()
        image: NDArray[Any] | None = None
        boxes: NDArray[np.float32] | None = None
        failure: ImageError | None = None
        try:
            image = self.kernel(data, frame=sample.frame)
            boxes = self._place(sample, data)
        except ImageError as error:
            failure = error
        kernel_s = time.perf_counter() - between
        return _Outcome(image, failure, between - start, kernel_s, boxes)

    def _place(self, sample: PlannedSample, data: bytes) -> NDArray[np.float32] | None:
        if sample.boxes is None:
            return None
        header = _core.probe(data)  # the size is upright, as the boxes are
        boxes = np.array(sample.boxes, np.float64).reshape(-1, 5)
        return _core.place_boxes(self.spec_json, boxes, int(header["height"]), int(header["width"]))


def run_in_python(
    job: Job, *, pool: Executor | None, ahead: int, stop: Stop, progress: Progress
) -> EngineResult:
    """Make the shards one after the other; inside a shard up to `ahead` images are in flight."""
    kernel = make_kernel(job.kernel, job.spec, keep_damaged=job.plan.keep_damaged)
    maker = _Maker(job.root, kernel, job.spec.canonical())
    tally = _Tally(progress)
    for shard in job.shards:
        if stop.is_set():
            break
        _make_shard(job, shard, maker, pool, ahead, tally)
    return EngineResult(
        images=tally.images,
        failed=tally.failed,
        shards=tally.shards,
        stages=tally.seconds,
        stopped=tally.shards < len(job.shards),
    )


def _make_shard(
    job: Job,
    shard: PlannedShard,
    maker: _Maker,
    pool: Executor | None,
    ahead: int,
    tally: _Tally,
) -> None:
    samples = read_samples(Path(job.out), shard, private=job.plan.private)
    writer = _open_writer(job, shard, samples)
    try:
        for sample, outcome in _outcomes(samples, maker, pool, ahead):
            start = time.perf_counter()
            is_stored = _store(writer, sample, outcome, job.on_error)
            tally.add(outcome, is_stored, time.perf_counter() - start)
        start = time.perf_counter()
        writer.finish()
        tally.seconds["commit"] += time.perf_counter() - start
    except BaseException:
        writer.abort()  # also on Ctrl-C: no half-written file stays
        raise
    tally.shards += 1
    tally.tell()


def _outcomes(
    samples: Sequence[PlannedSample], maker: _Maker, pool: Executor | None, ahead: int
) -> Iterator[tuple[PlannedSample, _Outcome]]:
    """Samples with their outcomes in plan order, whatever order they finish in."""
    if pool is None:
        for sample in samples:
            yield sample, maker(sample)
        return
    pending: deque[tuple[PlannedSample, Future[_Outcome]]] = deque()
    try:
        for sample in samples:
            pending.append((sample, pool.submit(maker, sample)))
            if len(pending) >= ahead:
                first, future = pending.popleft()
                yield first, future.result()
        while pending:
            first, future = pending.popleft()
            yield first, future.result()
    finally:
        for _, future in pending:
            future.cancel()


def _store(
    writer: _core.ShardWriter, sample: PlannedSample, outcome: _Outcome, on_error: str
) -> bool:
    """Append the row or record the failure; True when a row was appended."""
    if outcome.image is not None and outcome.error is None:
        writer.append(sample_json(sample), outcome.image, boxes=outcome.boxes)
        return True
    error = outcome.error or ImageError("no image and no reason")
    if on_error == "fail":
        error.path = sample.id  # a keyed id in private mode
        error.message = f"{sample.id}: {error.message}"
        raise error
    writer.fail(sample.id, sample.path, error.stage or "decode", error.message)
    return False


def _open_writer(
    job: Job, shard: PlannedShard, samples: Sequence[PlannedSample]
) -> _core.ShardWriter:
    """A writer with text fields as wide as the longest planned id and group."""
    groups = [len(sample.group) for sample in samples if sample.group is not None]
    return _core.ShardWriter(
        job.out,
        json.dumps(shard.to_json()),
        json.dumps(job.plan.image.to_json()),
        fingerprint=job.plan.fingerprint,
        samples_sha256=job.plan.samples_sha256,
        id_width=max((len(sample.id) for sample in samples), default=1),
        group_width=max(groups) if groups else None,
        boxes=job.plan.box_classes is not None,
        captions=job.plan.captions,
        private=job.plan.private,
        compress=job.plan.compress,
    )


def _read(root: str, path: str) -> bytes:
    """A regular file inside the root, whatever became of it since it was planned."""
    try:
        descriptor = os.open(f"{root}/{path}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise ReadError("cannot read: not a regular file", stage="read")
            resolved = Path(f"/proc/self/fd/{descriptor}").readlink()
            if not resolved.is_relative_to(root):
                raise ReadError(
                    "cannot read: the path leads out of the source folder", stage="read"
                )
            if status.st_size > _MAX_FILE_BYTES:
                raise LimitError(
                    f"file size in bytes is {status.st_size}, over the limit of {_MAX_FILE_BYTES}",
                    stage="decode",
                )
            return stream.read()
    except OSError as error:
        raise ReadError(f"cannot read: {error.strerror}", stage="read") from None
