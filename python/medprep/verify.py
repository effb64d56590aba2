"""Check a data set: every byte of the shards, and that all files of OUT tell the same story."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from medprep import _core, manifest
from medprep.errors import MedprepError
from medprep.manifest import Manifest, ShardEntry
from medprep.plan import has_plan, load_plan
from medprep.shards import ShardReader
from medprep.types import UNLABELLED, JsonObject

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
    records = [_load_record(out, entry) for entry in found.shards]
    with ThreadPoolExecutor(threads) as pool:
        jobs = zip(found.shards, records, strict=True)
        checked = pool.map(lambda job: _check_shard(out, *job), jobs)
        for number, (entry, errors) in enumerate(zip(found.shards, checked, strict=True), start=1):
            report.errors += errors
            report.checked_bytes += entry.bytes
            if progress is not None:
                progress(sum(e.count for e in found.shards[:number]), len(report.errors), number)
    for error in _compare(out, found, records, has_damage=bool(report.errors)):
        report.add(*error)
    return report


def _load_record(out: Path, entry: ShardEntry) -> JsonObject | None:
    """The shard's record, or None when OUT was copied without its records or it is damaged."""
    path = out / "records" / f"{entry.name.removesuffix('.npz')}.json"
    try:
        record = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _check_shard(out: Path, entry: ShardEntry, record: JsonObject | None) -> list[JsonObject]:
    arguments = (entry.sha256, entry.bytes)
    path = str(out / entry.name)
    text = None if record is None else json.dumps(record, ensure_ascii=False)
    try:
        problems: list[JsonObject] = json.loads(_core.verify_shard(path, text, *arguments))
    except MedprepError as error:  # the record is JSON, but no record
        problems = json.loads(_core.verify_shard(path, None, *arguments))
        problems.append({"shard": entry.name, "message": f"its record is damaged: {error.message}"})
    return problems


def _compare(
    out: Path, found: Manifest, records: Sequence[JsonObject | None], *, has_damage: bool
) -> Iterator[tuple[str, str]]:
    """(file, what is wrong) for all that two files of OUT say differently."""
    yield from _compare_spec(found)
    if has_plan(out):
        yield from _compare_plan(out, found)
    if (out / "records").is_dir():
        missing = [e.name for e, r in zip(found.shards, records, strict=True) if r is None]
        yield from ((name, "its record is missing or not JSON") for name in missing)
        if not missing:
            known = [record for record in records if record is not None]
            try:
                yield from _compare_records(out, found, known)
            except (KeyError, TypeError, ValueError, MedprepError) as error:
                yield "records", f"damaged: {type(error).__name__}: {error}"
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
        "splits": (tuple(found.splits), plan.splits),
        "shards": ([s.name for s in found.shards], [s.file_name for s in plan.shards]),
    }
    for key, (mine, planned) in pairs.items():
        if mine != planned:
            yield manifest.FILE_NAME, f"{key} differs from plan.json: {mine} and {planned}"


def _compare_records(
    out: Path, found: Manifest, records: Sequence[JsonObject]
) -> Iterator[tuple[str, str]]:
    for entry, record in zip(found.shards, records, strict=True):
        for key in ("name", "split", "index", "count", "bytes", "sha256"):
            if record[key] != getattr(entry, key):
                yield entry.name, f"{key}: manifest and record differ"
        if record["fingerprint"] != found.fingerprint:
            yield entry.name, "its record was made with another pipeline"
    leaves = [row["leaf"] for record in records for row in record["rows"]]
    if _core.merkle_root(leaves) != found.digest:
        yield manifest.FILE_NAME, "the digest is not the Merkle root over the records"
    yield from _compare_counts(found, records)
    yield from _compare_statistics(found, records)
    yield from _compare_lines(out / "samples.jsonl", _sample_lines(records))
    yield from _compare_lines(out / "failures.jsonl", _failure_lines(out, records))


def _compare_counts(found: Manifest, records: Sequence[JsonObject]) -> Iterator[tuple[str, str]]:
    for name, split in found.splits.items():
        labels = [r["label"] for record in records if record["split"] == name
                  for r in record["rows"]]  # fmt: skip
        counts = tuple(labels.count(label) for label in range(len(found.classes)))
        if counts != split.class_counts or labels.count(UNLABELLED) != split.unlabelled:
            yield manifest.FILE_NAME, f"class counts of split {name} differ from the records"


def _compare_statistics(
    found: Manifest, records: Sequence[JsonObject]
) -> Iterator[tuple[str, str]]:
    chosen = [record for record in records if record["split"] == "train" and record["count"]]
    chosen = chosen or list(records)
    pixels = sum(record["pixels"] for record in chosen)
    for channel in range(found.image.channels):
        total = sum(record["sum"][channel] for record in chosen)
        squares = sum(record["sum_squares"][channel] for record in chosen)
        mean = total / pixels if pixels else 0.0
        std = math.sqrt(pixels * squares - total * total) / pixels if pixels else 0.0
        stored = (found.channel_mean[channel], found.channel_std[channel])
        # 1e-12: the core rounds the exact numerator once more than Python does.
        if not all(map(_is_close, stored, (mean, std))):
            yield manifest.FILE_NAME, f"mean or std of channel {channel} differ from the records"


def _is_close(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-12)


def _sample_lines(records: Iterable[JsonObject]) -> Iterator[JsonObject]:
    for record in records:
        for row in record["rows"]:
            line = {key: value for key, value in row.items() if key != "leaf"}
            yield {**line, "shard": record["name"], "split": record["split"]}


def _failure_lines(out: Path, records: Iterable[JsonObject]) -> Iterator[JsonObject]:
    if has_plan(out):
        yield from (failure.to_json() for failure in load_plan(out).failures)
    for record in records:
        yield from record["failures"]


def _compare_lines(path: Path, expected: Iterator[JsonObject]) -> Iterator[tuple[str, str]]:
    try:
        with path.open("rb") as stream:
            lines = (json.loads(line) for line in stream)
            for number, (line, wanted) in enumerate(itertools.zip_longest(lines, expected), 1):
                if line != wanted:
                    yield path.name, f"line {number} differs from the records"
                    return
    except (OSError, ValueError, RecursionError) as error:
        yield path.name, f"cannot be read: {error}"


def _digest_of_shards(out: Path, found: Manifest) -> str:
    """The digest from the pixels themselves, for data sets copied without their records."""
    leaves = [
        _core.sample_leaf(sample.split, sample.label, sample.image) for sample in ShardReader(out)
    ]
    return _core.merkle_root(leaves)
