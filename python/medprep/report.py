"""What a run did: counted once, shown as one line to people and one JSON object to scripts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from medprep.types import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineResult:
    """What one engine call did.

    stages: seconds per stage, summed over threads and processes. Kernel rust: `clahe` includes the
        ways to Lab and back, and on a vector path (see `medprep doctor`) in colour `gamma` too,
        which then has no entry of its own; `close` is the end of a shard (hashing it, mostly), and
        `commit` waiting for the disk, on a thread of its own beside all others.
    stopped: True when a stop was asked for before all shards were done.
    """

    images: int = 0
    failed: int = 0
    shards: int = 0
    stages: Mapping[str, float] = field(default_factory=dict)
    stopped: bool = False

    def __add__(self, other: EngineResult) -> EngineResult:
        """Both together."""
        names = [*self.stages, *(name for name in other.stages if name not in self.stages)]
        return EngineResult(
            images=self.images + other.images,
            failed=self.failed + other.failed,
            shards=self.shards + other.shards,
            stages={n: self.stages.get(n, 0.0) + other.stages.get(n, 0.0) for n in names},
            stopped=self.stopped or other.stopped,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardReport:
    """The result of `medprep shard`.

    images, failed, shards: of the whole data set, or of this part with `--part`.
    seconds: wall time of this run; images_per_s: images made in it per second.
    digest: None for a part and a dry run.
    resumed: shards that were already there.
    """

    images: int
    failed: int
    shards: int
    seconds: float
    images_per_s: float
    stages: Mapping[str, float]
    digest: str | None
    out: str
    resumed: int
    bytes: int
    engine: str
    kernel: str
    threads: int
    part: str | None = None

    @property
    def exit_code(self) -> int:
        """0 when every input was stored, 3 when some were quarantined."""
        return 3 if self.failed else 0

    def to_json(self) -> JsonObject:
        """The object that `--json` prints."""
        return asdict(self)

    def summary(self) -> str:
        """The last line that people see."""
        what = f"part {self.part}: " if self.part else ""
        failed = f", {self.failed} failed (failures.jsonl)" if self.failed else ""
        rate = f", {self.images_per_s:.0f} images/s" if self.images_per_s else ""
        resumed = f", {self.resumed} already there" if self.resumed else ""
        digest = f", digest {self.digest[:16]}" if self.digest else ""
        return (
            f"{what}{self.images} images in {self.shards} shards{resumed}{failed}, "
            f"{self.seconds:.1f} s{rate}{digest}, {self.out}"
        )
