"""Which combinations are measured, and against which one each is held."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from medtrain.errors import UsageError

STRONG, WEAK = "strong", "weak"
SCALINGS = (STRONG, WEAK)
BASELINE = "serial"
# The pipeline without micro-batches, as strategies of the study: word -> pipeline.schedule.
SPLITS = {"pipeline-naive": "naive", "pipeline-alternating": "alternating"}


@dataclass(frozen=True, slots=True, order=True)
class Case:
    """One setting of the trainer.

    device: "cpu" or "cuda". batch: samples of the global batch, over all processes. per_process:
    samples one data-parallel process reads of it. scaling: `strong` cases share the global batch
    of their baseline, `weak` cases its batch per process.
    """

    scaling: str
    device: str
    strategy: str
    processes: int
    threads: int
    precision: str
    batch: int

    def __str__(self) -> str:
        """`ddp, 2 processes x 1 thread, fp32, batch 64`."""
        processes = "1 process" if self.processes == 1 else f"{self.processes} processes"
        threads = f" x {self.threads} thread{'' if self.threads == 1 else 's'}"
        where = threads if self.device == "cpu" else " on GPUs"
        return f"{self.strategy}, {processes}{where}, {self.precision}, batch {self.batch}"

    @property
    def is_baseline(self) -> bool:
        """One process of the same code."""
        return self.strategy == BASELINE and self.processes == 1

    @property
    def is_pipeline(self) -> bool:
        """All processes work on the same samples; with micro-batches or, to compare, without."""
        return self.strategy == "pipeline" or self.strategy in SPLITS

    @property
    def setting(self) -> tuple[str, str, str, int, str, int]:
        """What is run, whatever it is compared with: strong and weak may share a measurement."""
        return (
            *(self.device, self.strategy, self.precision),
            *(self.processes, str(self.threads), self.batch),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The values to combine on one device. batches: samples per process of the baseline."""

    strategies: Sequence[str]
    processes: Sequence[int]
    threads: Sequence[int]
    precisions: Sequence[str]
    batches: Sequence[int]
    scalings: Sequence[str] = (STRONG,)
    device: str = "cpu"

    def __post_init__(self) -> None:
        for flag, values in (
            ("--procs", self.processes),
            ("--threads", self.threads),
            ("--batch-sizes", self.batches),
        ):
            if not values or min(values) < 1:
                raise UsageError(f"{flag} needs whole numbers of at least 1, got {list(values)}")
        for flag, words in (("--strategies", self.strategies), ("--precisions", self.precisions)):
            if not words:
                raise UsageError(f"{flag} names nothing to measure")
        unknown = set(self.scalings) - set(SCALINGS)
        if unknown or not self.scalings:
            raise UsageError(
                f"--scaling must be among {', '.join(SCALINGS)}, got {sorted(unknown)}"
            )

    def cases(self) -> list[Case]:
        """Every case once, each baseline first; what cannot be cut evenly is refused.

        A baseline is added where only other strategies were asked for: no speedup without one.
        Raises UsageError when a strong case cannot share its batch among its processes.
        """
        found: dict[Case, None] = {}
        for scaling in self.scalings:
            for precision in self.precisions:
                for threads in self.threads:
                    for batch in self.batches:
                        one = (scaling, self.device, BASELINE, 1, threads, precision, batch)
                        found |= dict.fromkeys([Case(*one)])
                        found |= dict.fromkeys(self._others(scaling, precision, threads, batch))
        return list(found)

    def _others(self, scaling: str, precision: str, threads: int, batch: int) -> list[Case]:
        cases = []
        for strategy in self.strategies:
            if strategy == BASELINE:
                continue
            for count in self.processes:
                one = Case(scaling, self.device, strategy, count, threads, precision, batch)
                whole = batch if scaling == STRONG or one.is_pipeline else batch * count
                if not one.is_pipeline and whole % count:
                    raise UsageError(
                        f"--batch-sizes {batch}: cannot be cut into {count} equal parts",
                        hint="choose a multiple of every number in --procs, or --scaling weak",
                    )
                cases.append(replace(one, batch=whole))
        return cases


def baseline_of(case: Case, cases: Sequence[Case]) -> Case:
    """The serial case that `case` is held against: same device, threads and precision.

    Strong: the same global batch. Weak: the batch of one of its processes.
    """
    batch = case.batch
    if case.scaling == WEAK and not case.is_pipeline:
        batch //= case.processes
    return next(
        other
        for other in cases
        if other.is_baseline
        and (other.scaling, other.device, other.threads, other.precision, other.batch)
        == (case.scaling, case.device, case.threads, case.precision, batch)
    )
