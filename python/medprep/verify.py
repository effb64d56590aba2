"""Check a data set: every byte of the shards, and that all files of OUT tell the same story."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from medprep import _core, manifest
from medprep.bookkeeping import Bookkeeping
from medprep.errors import MedprepError
from medprep.manifest import Manifest, ShardEntry
from medprep.plan import has_plan, load_plan
from medprep.shards import ShardReader
from medprep.types import JsonObject

_MAX_ERRORS = 1000  # more help nobody; the count goes on


@dataclass(kw_only=True)
class VerifyReport:
    """What was checked and what is wrong.

    errors: each has `shard` and `message`, and `id`, `row` and `path` where a sample is affected.
    """

    checked_bytes: int = 0
    shards: int = 0
    images: int = 0
    errors: list[JsonObject] = field(default_factory=list)

    @property
    def is_ok(self) -> bool:
        """True when nothing is wrong."""
        return not self.errors

    def add(self, name: str, message: str) -> None:
        """Record what is wrong with the file `name` of OUT."""
        self.errors.append({"shard": name, "message": message})

    def to_json(self) -> JsonObject:
        """The object that `--json` prints."""
        return {
            "ok": self.is_ok,
            "checked_bytes": self.checked_bytes,
            "shards": self.shards,
            "images": self.images,
            "errors": self.errors[:_MAX_ERRORS],
            "error_count": len(self.errors),
        }


def verify(
    out: Path, *, threads: int, progress: Callable[[int, int, int], None] | None = None
) -> VerifyReport:
    """Check OUT; raises UsageError or VerificationError only when there is no readable manifest."""
    found = manifest.load(out)
    report = VerifyReport(shards=len(found.shards), images=found.samples)
    books = _open_books(out, found)
    done = 0
    for number, (entry, checked) in enumerate(_check_all(out, found.shards, threads), start=1):
        report.errors += checked.errors
        report.checked_bytes += entry.bytes
        done += entry.count
        if books is not None:
            books.add(entry, checked.record)
        if progress is not None:
            progress(done, len(report.errors), number)
    for error in _compare(out, found, books, has_damage=bool(report.errors)):
        report.add(*error)
    return report


@dataclass(frozen=True, slots=True)
class _Checked:
    """What was found in one shard, and its record, None when it is missing or not JSON."""

    errors: list[JsonObject]
    record: JsonObject | None


def _check_all(
    out: Path, shards: Sequence[ShardEntry], threads: int
) -> Iterator[tuple[ShardEntry, _Checked]]:
    """All shards in order; only a few records are in memory at a time."""
    waiting: deque[tuple[ShardEntry, Future[_Checked]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for entry in shards:
                waiting.append((entry, pool.submit(_check_shard, out, entry)))
                if len(waiting) > 2 * threads:
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        finally:
            for _, future in waiting:
                future.cancel()


def _open_books(out: Path, found: Manifest) -> Bookkeeping | None:
    """None when OUT was copied without its records."""
    if not (out / "records").is_dir():
        return None
    try:
        failures = load_plan(out).failures if has_plan(out) else ()
    except MedprepError:  # reported when the plan is compared
        failures = ()
    return Bookkeeping(out, found, failures)


def _check_shard(out: Path, entry: ShardEntry) -> _Checked:
    arguments = (entry.sha256, entry.bytes)
    path = str(out / entry.name)
    text, record = _load_record(out, entry)
    try:
        problems: list[JsonObject] = json.loads(_core.verify_shard(path, text, *arguments))
    except MedprepError as error:  # the record is JSON, but no record
        problems = json.loads(_core.verify_shard(path, None, *arguments))
        problems.append({"shard": entry.name, "message": f"its record is damaged: {error.message}"})
    return _Checked(problems, record)


def _load_record(out: Path, entry: ShardEntry) -> tuple[str | None, JsonObject | None]:
    """The shard's record as text and parsed; Nones when it is missing or no JSON object."""
    path = out / "records" / f"{entry.name.removesuffix('.npz')}.json"
    try:
        text = path.read_text(encoding="utf-8")
        record = json.loads(text)
    except (OSError, ValueError, RecursionError):
        return None, None
    return (text, record) if isinstance(record, dict) else (None, None)


def _compare(
    out: Path, found: Manifest, books: Bookkeeping | None, *, has_damage: bool
) -> Iterator[tuple[str, str]]:
    """(file, what is wrong) for all that two files of OUT say differently."""
    yield from _compare_spec(found)
    if has_plan(out):
        yield from _compare_plan(out, found)
    if books is not None:
        yield from books.finish()
    elif not has_damage and _digest_of_shards(out, found) != found.digest:
        yield manifest.FILE_NAME, "the digest is not that of the shards"


def _compare_spec(found: Manifest) -> Iterator[tuple[str, str]]:
    try:
        fingerprint = _core.fingerprint(json.dumps(dict(found.pipeline)))
    except MedprepError as error:
        yield manifest.FILE_NAME, f"pipeline: {error}"
        return
    if fingerprint != found.fingerprint:
        yield manifest.FILE_NAME, "the fingerprint is not that of the pipeline"


def _compare_plan(out: Path, found: Manifest) -> Iterator[tuple[str, str]]:
    try:
        plan = load_plan(out)
    except MedprepError as error:
        yield "plan.json", str(error)
        return
    pairs = {
        "classes": (found.classes, plan.classes),
        "fingerprint": (found.fingerprint, plan.fingerprint),
        "image": (found.image, plan.image),
        "layout": (found.layout, plan.layout),
        "seed": (found.seed, plan.seed),
        "private": (found.private, plan.private),
        "box_classes": (found.box_classes, plan.box_classes),
        "captions": (found.captions is not None, plan.captions),
        "splits": (tuple(found.splits), plan.splits),
        "shards": ([s.name for s in found.shards], [s.file_name for s in plan.shards]),
    }
    for key, (mine, planned) in pairs.items():
        if mine != planned:
            yield manifest.FILE_NAME, f"{key} differs from plan.json: {mine} and {planned}"


def _digest_of_shards(out: Path, found: Manifest) -> str:
    """The digest from the stored data themselves, for data sets copied without their records."""
    tree = _core.MerkleTree()
    for sample in ShardReader(out):
        boxes = () if sample.boxes is None else sample.boxes.ravel().tolist()
        fields = (sample.split, sample.label, sample.image, boxes, sample.caption or "")
        tree.push([_core.sample_leaf(*fields)])
    return tree.root()
