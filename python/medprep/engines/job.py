"""One job: which shards to make from what. Plain data, so that it travels to other processes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from medprep.pipeline import PipelineSpec
from medprep.pipeline import from_json as spec_from_json
from medprep.plan import Plan, PlannedShard, samples_path

Progress = Callable[[int, int, int], None]
"""Called with images done, images failed and shards done so far; never often enough to matter."""


class Stop(Protocol):
    """Somebody may ask for an orderly end; `_core.StopFlag` is one."""

    def set(self) -> None:
        """Ask for it."""
        ...

    def is_set(self) -> bool:
        """True once it was asked for."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The shards of one run.

    root: the folder that sample paths are relative to. kernel: `rust` or `python`.
    on_error: `skip` records a failed input, `fail` ends the run with its error.
    """

    # Not shown: Dask writes the arguments of a failed task to the logs of its workers.
    root: str = field(repr=False)
    out: str
    plan: Plan = field(repr=False)
    shards: Sequence[PlannedShard]
    kernel: str
    on_error: str = "skip"

    @property
    def spec(self) -> PipelineSpec:
        """The pipeline of the plan."""
        return spec_from_json(self.plan.spec)

    def core_json(self, *, threads: int) -> str:
        """The job as `_core.run_shards` reads it."""
        return json.dumps(
            {
                "root": self.root,
                "out": self.out,
                "plan_samples": str(samples_path(Path(self.out), private=self.plan.private)),
                "shards": [shard.to_json() for shard in self.shards],
                "spec": dict(self.plan.spec),
                "image": self.plan.image.to_json(),
                "annotations": {
                    "boxes": self.plan.box_classes is not None,
                    "captions": self.plan.captions,
                },
                "threads": threads,
                "compress": self.plan.compress,
                "on_error": self.on_error,
                "keep_damaged": self.plan.keep_damaged,
                "limits": {},
                "private": self.plan.private,
                "samples_sha256": self.plan.samples_sha256,
            }
        )
