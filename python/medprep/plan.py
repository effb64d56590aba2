"""`OUT/plan.json` and `OUT/plan-samples.jsonl`: which sample goes to which shard.

Made once, before anything runs, so that it never depends on timing, threads or engine. The
samples are written first and `plan.json` last: where there is a plan, it is whole.

The samples' lines hold paths. A private plan therefore keeps them beside OUT, in `OUT.private/`
(mode 700), until the data set is made.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring
from pathlib import Path
from typing import Any

from medprep import allowed
from medprep.errors import PrivacyError, UsageError, VerificationError
from medprep.storage import make_folder, write_atomically
from medprep.types import Box, Failure, ImageShape, JsonObject, PlannedSample

PLAN_FILE = "plan.json"
SAMPLES_FILE = "plan-samples.jsonl"
SCHEMA = 1

# Made once: json.dumps with these options would make one for every sample.
_encode_line = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedShard:
    """`count` lines of plan-samples.jsonl from byte `offset` on; `index` counts in the split."""

    name: str
    split: str
    index: int
    offset: int
    count: int

    @property
    def file_name(self) -> str:
        """The shard's file in OUT."""
        return f"{self.name}.npz"

    def to_json(self) -> JsonObject:
        """The object as it stands in the plan and in a job."""
        return {
            "name": self.name,
            "split": self.split,
            "index": self.index,
            "offset": self.offset,
            "count": self.count,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that decides what the shards hold, and what was refused while planning.

    spec: the pipeline specification with channels resolved; `fingerprint` is its SHA-256.
    options: what else the user chose and a rerun must repeat (split, shard size, ...).
    box_classes: what the labels of boxes mean; None when the data set has no boxes.
    captions: True when images have captions.
    sources: keyed hash of all listed paths, of private plans only.
    fast_decode: what a fast decode costs, measured; None for an exact one.
    """

    layout: str
    spec: Mapping[str, Any]
    fingerprint: str
    classes: tuple[str, ...]
    splits: tuple[str, ...]
    seed: int
    group_by: str
    private: bool
    image: ImageShape
    samples: int
    samples_sha256: str
    unlabelled: int
    shards: tuple[PlannedShard, ...]
    failures: tuple[Failure, ...]
    options: Mapping[str, Any]
    box_classes: tuple[str, ...] | None = None
    captions: bool = False
    sources: str | None = None
    fast_decode: Mapping[str, Any] | None = None

    @property
    def compress(self) -> str:
        """`none` or `deflate`."""
        return str(self.options["compress"])

    @property
    def keep_damaged(self) -> bool:
        """True when damaged images are stored as far as they decode."""
        return bool(self.options["on_damage"] == "keep")

    @property
    def bytes(self) -> int:
        """Bytes of pixels that the shards will hold if no input fails."""
        return self.samples * self.image.bytes

    def to_json(self) -> JsonObject:
        """The object as it stands in the file."""
        return {
            "schema": SCHEMA,
            "layout": self.layout,
            "spec": dict(self.spec),
            "fingerprint": self.fingerprint,
            "classes": list(self.classes),
            "splits": list(self.splits),
            "seed": self.seed,
            "group_by": self.group_by,
            "private": self.private,
            "image": self.image.to_json(),
            "samples": self.samples,
            "samples_sha256": self.samples_sha256,
            "unlabelled": self.unlabelled,
            "shards": [shard.to_json() for shard in self.shards],
            "failures": [failure.to_json() for failure in self.failures],
            "options": dict(self.options),
            **self._optional_json(),
        }

    def _optional_json(self) -> JsonObject:
        """What only some plans have, so that the others keep their bytes."""
        found: JsonObject = {}
        if self.box_classes is not None:
            found |= {"boxes": True, "box_classes": list(self.box_classes)}
        if self.captions:
            found["captions"] = True
        if self.sources is not None:
            found["sources"] = self.sources
        if self.fast_decode is not None:
            found["fast_decode"] = dict(self.fast_decode)
        return found


def encode_samples(samples: Sequence[PlannedSample]) -> Iterator[bytes]:
    """The lines of plan-samples.jsonl."""
    return (f"{sample_json(sample)}\n".encode() for sample in samples)


def sample_json(sample: PlannedSample) -> str:
    """One line of plan-samples.jsonl, which is also what `_core.ShardWriter.append` takes."""
    quoted = encode_basestring
    group = "null" if sample.group is None else quoted(sample.group)
    # Put together by hand: there may be 10^7 lines, and json.dumps takes five times as long.
    line = (
        f'{{"id":{quoted(sample.id)},"path":{quoted(sample.path)},"label":{sample.label:d},'
        f'"split":{quoted(sample.split)},"group":{group}'
    )
    rest = _optional(sample)
    return f"{line},{_encode_line(rest)[1:]}" if rest else f"{line}}}"


def _optional(sample: PlannedSample) -> JsonObject:
    """What only some samples have."""
    rest: JsonObject = {}
    if sample.frame is not None:
        rest["frame"] = sample.frame
    if sample.boxes is not None:
        rest["boxes"] = sample.boxes
    if sample.caption is not None:
        rest["caption"] = sample.caption
    if sample.attributes is not None:
        rest["attributes"] = dict(sample.attributes)
    return rest


def cut_shards(
    samples: Sequence[PlannedSample], splits: Sequence[str], *, rows: int
) -> tuple[tuple[PlannedShard, ...], str]:
    """Shards of at most `rows` samples, and the SHA-256 of the samples' lines.

    samples: in plan order, that is split by split in the order of `splits`.
    """
    digest = hashlib.sha256()
    counts = dict.fromkeys(splits, 0)
    shards: list[PlannedShard] = []
    end = start = first = 0  # bytes, bytes, samples
    for at, line in enumerate(encode_samples(samples), start=1):
        digest.update(line)
        end += len(line)
        split = samples[at - 1].split
        if at - first == rows or at == len(samples) or samples[at].split != split:
            shards.append(
                PlannedShard(
                    name=f"{split}-{counts[split]:05}",
                    split=split,
                    index=counts[split],
                    offset=start,
                    count=at - first,
                )
            )
            counts[split] += 1
            start, first = end, at
    return tuple(shards), digest.hexdigest()


def samples_path(out: Path, *, private: bool) -> Path:
    """Where plan-samples.jsonl is: in OUT, or beside it when OUT must hold no paths."""
    return private_folder(out) / SAMPLES_FILE if private else out / SAMPLES_FILE


def private_folder(out: Path) -> Path:
    """`OUT.private`, which exists while a private data set is being made."""
    out = out.absolute()
    return out.with_name(f"{out.name}.private")


def remove_samples(out: Path, *, private: bool) -> None:
    """Remove the planned samples, and the private folder when nothing else is in it."""
    samples_path(out, private=private).unlink(missing_ok=True)
    if private:
        with contextlib.suppress(OSError):  # a part that still runs may have a file there
            private_folder(out).rmdir()


def write_plan(out: Path, plan: Plan, samples: Sequence[PlannedSample]) -> None:
    """Write both files, plan.json last. Private plans are for the owner's eyes (mode 600)."""
    if plan.private:
        make_folder(private_folder(out), mode=0o700)
    mode = 0o600 if plan.private else 0o666
    path = samples_path(out, private=plan.private)
    write_atomically(path, encode_samples(samples), mode=mode)
    text = json.dumps(plan.to_json(), ensure_ascii=False, indent=1) + "\n"
    write_atomically(out / PLAN_FILE, text.encode())


def has_plan(out: Path) -> bool:
    """True when OUT holds a plan."""
    return (out / PLAN_FILE).exists()


def load_plan(out: Path) -> Plan:
    """Read OUT/plan.json. Raises UsageError when there is none, VerificationError when damaged."""
    path = out / PLAN_FILE
    try:
        data = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"{path}: no plan", hint="run `medprep plan SRC OUT`") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot read the plan: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise _damaged(path, str(error)) from None
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        found = data.get("schema") if isinstance(data, dict) else None
        raise _damaged(path, f"schema {found!r}; this build reads schema {SCHEMA}")
    try:
        return _from_json(data)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(path, f"{type(error).__name__}: {error}") from None


def read_samples(out: Path, shard: PlannedShard, *, private: bool = False) -> list[PlannedSample]:
    """The samples of one shard. Raises VerificationError when they are not those planned."""
    path = samples_path(out, private=private)
    try:
        with path.open("rb") as stream:
            stream.seek(shard.offset)
            samples = [_sample(json.loads(stream.readline())) for _ in range(shard.count)]
    except OSError as error:
        raise _damaged(path, error.strerror or str(error)) from None
    except (ValueError, TypeError, AttributeError, RecursionError, PrivacyError) as error:
        raise _damaged(path, f"no planned sample ({type(error).__name__})") from None
    if any(sample.split != shard.split for sample in samples):
        raise _damaged(path, f"samples of another split at shard {shard.name}")
    return samples


def read_paths(out: Path, *, private: bool = False) -> set[str]:
    """The paths of all planned samples, of lines that `check_samples` found to be the plan's."""
    path = samples_path(out, private=private)
    try:
        with path.open("rb") as stream:
            return {json.loads(line)["path"] for line in stream}
    except OSError as error:
        raise _damaged(path, error.strerror or str(error)) from None
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _damaged(path, f"no planned sample ({type(error).__name__})") from None


def check_samples(out: Path, plan: Plan) -> str | None:
    """What is wrong with plan-samples.jsonl: None, `missing` or `changed`."""
    try:
        with samples_path(out, private=plan.private).open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError:
        return "missing"
    return None if found == plan.samples_sha256 else "changed"


def _sample(line: JsonObject) -> PlannedSample:
    boxes = line.pop("boxes", None)
    if boxes is not None:
        boxes = tuple(
            Box(float(x_min), float(y_min), float(x_max), float(y_max), int(label))
            for x_min, y_min, x_max, y_max, label in boxes
        )
    sample = PlannedSample(**line, boxes=boxes)
    reason = allowed.refusal(sample)
    if reason is None and allowed.planned_attributes(sample) != sample.attributes:
        reason = f"attribute age is over {allowed.MAX_AGE}"
    if reason is not None:
        raise ValueError(reason)
    return sample


def _from_json(data: Mapping[str, Any]) -> Plan:
    return Plan(
        layout=data["layout"],
        spec=dict(data["spec"]),
        fingerprint=data["fingerprint"],
        classes=tuple(data["classes"]),
        splits=tuple(data["splits"]),
        seed=data["seed"],
        group_by=data["group_by"],
        private=data["private"],
        image=ImageShape(**data["image"]),
        samples=data["samples"],
        samples_sha256=data["samples_sha256"],
        unlabelled=data["unlabelled"],
        shards=tuple(PlannedShard(**shard) for shard in data["shards"]),
        failures=tuple(Failure(**{"path": None, **failure}) for failure in data["failures"]),
        options=dict(data["options"]),
        box_classes=tuple(data["box_classes"]) if data.get("boxes") else None,
        captions=bool(data.get("captions", False)),
        sources=data.get("sources"),
        fast_decode=data.get("fast_decode"),
    )


def _damaged(path: Path, reason: str) -> VerificationError:
    return VerificationError(
        f"{path}: damaged plan: {reason}",
        path=str(path),
        stage="plan",
        hint="rerun with --overwrite to plan anew",
    )
