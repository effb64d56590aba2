"""One training job as words: what a command line says, and what a worker process is told."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from medtrain.config import Config
from medtrain.distributed import World
from medtrain.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Job:
    """A training job.

    strategy: a name from `medtrain.strategies.STRATEGIES`.
    device: "cpu" or "cuda".
    processes: on this machine; nodes: machines.
    out: the run folder; None makes one below `runs/`, named by recipe and time.
    resume: "auto", "never", or a run or checkpoint folder.
    verbosity: -1 quiet, 0 normal, 1 and more verbose.
    """

    config: Config
    data: Path
    out: Path | None = None
    strategy: str = "serial"
    device: str = "cpu"
    processes: int = 1
    nodes: int = 1
    resume: str = "auto"
    verbosity: int = 0
    json: bool = False
    command: tuple[str, ...] = ()

    def worker_arguments(self, config_file: Path) -> list[str]:
        """The command line of one worker: the same verb, with everything resolved."""
        kind = "--gpus" if self.device == "cuda" else "--procs"
        noise = ["-v"] * self.verbosity if self.verbosity > 0 else ["-q"] * -self.verbosity
        return [
            self.strategy,
            *("--config", str(config_file)),
            *("--data", str(self.data)),
            *("--out", str(self.run)),
            *(kind, str(self.processes)),
            *("--nodes", str(self.nodes)),
            *("--resume", self.resume),
            *(["--json"] if self.json else []),
            *noise,
        ]

    def threads(self, world: World, cores: int) -> int:
        """CPU threads of one process: as configured, else the cores divided by the processes."""
        return self.config.train.threads or max(1, cores // world.local_world_size)

    def with_out(self, started_s: int) -> Job:
        """The same job with a run folder: its own, or runs/<recipe>-<time> (UTC)."""
        if self.out is not None:
            return self
        started = datetime.fromtimestamp(started_s, UTC).strftime("%Y%m%d-%H%M%S")
        return replace(self, out=Path("runs") / f"{self.config.recipe}-{started}")

    @property
    def run(self) -> Path:
        """The run folder; only of a job that has one (`with_out`)."""
        assert self.out is not None
        return self.out


def resolve_processes(
    *, gpus: int | None, procs: int | None, nodes: int, world: World, cuda_devices: int, one: bool
) -> tuple[str, int]:
    """Decide device and processes per machine, or refuse: never a silent fall-back to the CPU.

    gpus, procs: as asked, None = not said. cuda_devices: what this machine offers. one: the
    strategy runs in one process. Returns ("cuda" | "cpu", processes on this machine). Raises
    UsageError when what was asked is not there, or is not what the launcher started.
    """
    if gpus is not None and procs is not None:
        raise UsageError("--gpus and --procs exclude each other: --procs is for the CPU")
    _positive("--gpus", gpus)
    _positive("--procs", procs)
    _positive("--nodes", nodes)
    if gpus is not None and cuda_devices == 0:
        raise UsageError(
            f"--gpus {gpus}: this machine has no usable CUDA GPU",
            hint=f"use --procs {gpus} to train on the CPU, or run `medprep doctor`",
        )
    device = "cpu" if procs is not None or cuda_devices == 0 else "cuda"
    asked, flag = (procs, "--procs") if device == "cpu" else (gpus, "--gpus")
    if world.joined != "alone":
        here = world.local_world_size
        if asked is not None and asked != here:
            raise UsageError(
                f"{flag} {asked}, but {world.joined} started {here} processes on this machine"
            )
        if nodes != 1 and nodes != world.nodes:
            raise UsageError(f"--nodes {nodes}, but {world.joined} runs on {world.nodes} machines")
        count = here
    elif one:
        count = 1 if asked is None else asked
    elif asked is None and device == "cpu":
        raise UsageError(
            "no CUDA GPU here, and the number of CPU processes is not said",
            hint="use --procs N to train on the CPU",
        )
    else:
        count = cuda_devices if asked is None else asked
    if one and count * nodes != 1:
        raise UsageError(
            f"the serial strategy is one process, not {count * nodes}; use `medtrain ddp`"
        )
    if device == "cuda" and count > cuda_devices:
        raise UsageError(f"{count} processes need as many GPUs; this machine has {cuda_devices}")
    return device, count


def _positive(flag: str, value: int | None) -> None:
    if value is not None and value < 1:
        raise UsageError(f"{flag} must be >= 1, got {value}")
