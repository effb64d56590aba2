"""Check that records, manifest, samples.jsonl and failures.jsonl tell the same story.

Record by record, so that memory does not grow with the number of samples.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from medprep import _core
from medprep.errors import MedprepError
from medprep.manifest import FILE_NAME, Manifest, ShardEntry
from medprep.types import UNLABELLED, Failure, JsonObject

Problem = tuple[str, str]
"""File of OUT, and what is wrong with it."""


@dataclass(slots=True)
class _Split:
    """What the records of one split add up to."""

    labels: Counter[int] = field(default_factory=Counter)
    pixels: int = 0
    sums: Counter[int] = field(default_factory=Counter)
    squares: Counter[int] = field(default_factory=Counter)

    def add(self, record: JsonObject) -> None:
        self.labels.update(row["label"] for row in record["rows"])
        self.pixels += record["pixels"]
        self.sums.update(dict(enumerate(record["sum"])))
        self.squares.update(dict(enumerate(record["sum_squares"])))

    def mean_and_std(self, channel: int, dtype: str) -> tuple[float, float]:
        """In stored units; the sums of float32 are whole numbers in steps of 1/65535."""
        if not self.pixels:
            return 0.0, 0.0
        total, squares = self.sums[channel], self.squares[channel]
        variance = self.pixels * squares - total * total
        unit = 65535.0 if dtype == "float32" else 1.0
        return total / self.pixels / unit, math.sqrt(variance) / self.pixels / unit


class Bookkeeping:
    """Takes the records in the order of the manifest's shards; `problems` is what was found.

    failures: what failed while planning, which failures.jsonl begins with.
    """

    def __init__(self, out: Path, found: Manifest, failures: Sequence[Failure]) -> None:
        self.problems: list[Problem] = []
        self._found = found
        self._samples = _Lines(out / "samples.jsonl")
        self._failures = _Lines(out / "failures.jsonl")
        self._tree = _core.MerkleTree()
        self._splits = {name: _Split() for name in found.splits}
        self._annotations: Counter[str] = Counter()
        self._is_whole = True
        self.problems += self._failures.compare(failure.to_json() for failure in failures)

    def add(self, entry: ShardEntry, record: JsonObject | None) -> None:
        """Compare the next record; after a missing one the rest has nothing to be compared to."""
        if record is None:
            self.problems.append((entry.name, "its record is missing or not JSON"))
            self._is_whole = False
        if record is None or not self._is_whole:
            return
        try:
            self.problems += self._compare(entry, record)
        except (KeyError, TypeError, ValueError, AttributeError, MedprepError) as error:
            message = f"its record is damaged: {type(error).__name__}: {error}"
            self.problems.append((entry.name, message))
            self._is_whole = False

    def finish(self) -> list[Problem]:
        """All problems, those of the totals included."""
        if self._is_whole:
            self.problems += self._samples.end()
            self.problems += self._failures.end()
            self.problems += self._compare_totals()
        self._samples.close()
        self._failures.close()
        return self.problems

    def _compare(self, entry: ShardEntry, record: JsonObject) -> Iterator[Problem]:
        for key in ("name", "split", "index", "count", "bytes", "sha256"):
            if record[key] != getattr(entry, key):
                yield entry.name, f"{key}: manifest and record differ"
        if record["fingerprint"] != self._found.fingerprint:
            yield entry.name, "its record was made with another pipeline"
        self._tree.push([row["leaf"] for row in record["rows"]])
        self._splits[entry.split].add(record)
        for row in record["rows"]:
            self._annotations["boxes"] += row.get("boxes") or 0
            self._annotations["boxes_dropped"] += row.get("boxes_dropped") or 0
            self._annotations["captions"] += "caption_bytes" in row
        yield from self._samples.compare(_sample_lines(record))
        yield from self._failures.compare(record["failures"])

    def _compare_totals(self) -> Iterator[Problem]:
        found = self._found
        if self._tree.root() != found.digest:
            yield FILE_NAME, "the digest is not the Merkle root over the records"
        for name, split in found.splits.items():
            labels = self._splits[name].labels
            counts = tuple(labels[label] for label in range(len(found.classes)))
            if counts != split.class_counts or labels[UNLABELLED] != split.unlabelled:
                yield FILE_NAME, f"class counts of split {name} differ from the records"
        for key in ("boxes", "boxes_dropped", "captions"):
            if (getattr(found, key) or 0) != self._annotations[key]:
                yield FILE_NAME, f"{key} differ from the records"
        yield from self._compare_statistics()

    def _compare_statistics(self) -> Iterator[Problem]:
        train = self._splits.get("train")
        chosen = train if train is not None and train.pixels else _sum(self._splits.values())
        for channel in range(self._found.image.channels):
            stored = self._found.channel_mean[channel], self._found.channel_std[channel]
            # 1e-12: the core rounds the exact numerator once more than Python does.
            if not all(
                map(_is_close, stored, chosen.mean_and_std(channel, self._found.image.dtype))
            ):
                yield FILE_NAME, f"mean or std of channel {channel} differ from the records"


class _Lines:
    """A JSON Lines file that is compared line by line; the first difference ends it."""

    def __init__(self, path: Path) -> None:
        self._name = path.name
        self._number = 0
        self._stream = None
        self._broken: Problem | None = None
        try:
            self._stream = path.open("rb")
        except OSError as error:
            self._broken = (self._name, f"cannot be read: {error}")

    def compare(self, expected: Iterable[JsonObject]) -> list[Problem]:
        """What is wrong with the next lines, which must be these."""
        for wanted in expected:
            if self._stream is None:
                break
            self._number += 1
            try:
                is_same = json.loads(self._stream.readline() or b"null") == wanted
            except (OSError, ValueError, RecursionError) as error:
                return self._break(f"cannot be read: {error}")
            if not is_same:
                return self._break(f"line {self._number} differs from the records")
        return self._say()

    def end(self) -> list[Problem]:
        """What is wrong when no line is expected any more."""
        if self._stream is not None and self._stream.readline():
            return self._break(f"line {self._number + 1} differs from the records")
        return self._say()

    def close(self) -> None:
        """Close the file."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _break(self, message: str) -> list[Problem]:
        self.close()
        return [(self._name, message)]

    def _say(self) -> list[Problem]:
        broken, self._broken = self._broken, None
        return [] if broken is None else [broken]


def _sum(splits: Iterable[_Split]) -> _Split:
    total = _Split()
    for split in splits:
        total.pixels += split.pixels
        total.sums.update(split.sums)
        total.squares.update(split.squares)
    return total


def _sample_lines(record: JsonObject) -> Iterator[JsonObject]:
    for row in record["rows"]:
        line = {key: value for key, value in row.items() if key != "leaf"}
        yield {**line, "shard": record["name"], "split": record["split"]}


def _is_close(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-12)
