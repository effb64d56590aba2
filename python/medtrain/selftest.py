"""One process against several on a toy set, on the user's own machine: are the numbers the same?

The toy set is made by medprep, every run by the trainer itself. All runs see the same global
batches of the same images in the same order, train with SGD, without dropout and with group
normalisation, so that their mathematics are equal and only rounding may differ (DESIGN section 5).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medtrain import records
from medtrain.child import ChildError, run_child
from medtrain.errors import MedprepError

BATCH = 8  # samples of one process
EPOCHS = 2
IMAGES, SIDE = 96, 64
LOSS_TOLERANCE = 1e-4  # absolute; sums of float32 in another order, over some dozen steps
WEIGHT_TOLERANCE = 1e-4  # absolute; weights are of the order of 0.1
METRICS = ("loss", "accuracy", "auroc")
_SETTINGS = (
    *("model.name=tiny_cnn", "model.norm=group", "model.dropout=0.0"),
    *("optim.name=sgd", "optim.learning_rate=0.01", "optim.warmup_steps=0"),
    *("data.augment=true", "train.log_every=1", "train.class_weights=inverse"),
)


class SelftestError(MedprepError):
    """A run of the self-test could not be made; the message is its own."""

    exit_code = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One comparison with the serial run.

    difference: the largest found, None where there is nothing to measure. ok: within tolerance.
    where: the first place beyond it, in words; "" when there is none.
    """

    what: str
    difference: float | None
    tolerance: float
    ok: bool
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """All checks of one strategy."""

    strategy: str
    processes: int
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """True when every check is."""
        return all(check.ok for check in self.checks)


def make_toy_set(folder: Path) -> Path:
    """Made-up fundus photographs as shards; returns the data set. Raises SelftestError."""
    images, shards = folder / "images", folder / "shards"
    _call("medprep", "synth", images, "--images", IMAGES, "--size", SIDE, "--seed", 11, "-q")
    split = "train=0.5,val=0.25,test=0.25"
    _call("medprep", "shard", images, shards, "--size", SIDE, "--split", split, "-q")
    return shards


def train(
    strategy: str, data: Path, run: Path, *, device: str, processes: int, whole: int, threads: int
) -> None:
    """Train `strategy` on global batches of `whole` samples. Raises SelftestError."""
    replicas = 1 if strategy in ("serial", "pipeline") else processes
    kind = "--gpus" if device == "cuda" else "--procs"
    words = [strategy, kind, processes, "--data", data, "--out", run, "--epochs", EPOCHS]
    words += ["--batch-size", whole // replicas, "--precision", "fp32", "--threads", threads]
    words += ["--deterministic", "--resume", "never", "--json", "-q"]
    for setting in _SETTINGS:
        words += ["--set", setting]
    _call("medtrain", *words)


def selftest(
    folder: Path,
    strategies: Sequence[str],
    *,
    device: str,
    processes: int,
    threads: int,
    say: Callable[[str], None] = lambda line: None,
) -> list[Verdict]:
    """Train serially and with every strategy, and compare. Raises SelftestError."""
    say("making a toy set")
    data = make_toy_set(folder)

    def run(strategy: str, count: int) -> None:
        noun = "process" if count == 1 else "processes"
        say(f"training {strategy}, {count} {noun}")
        train(
            strategy,
            data,
            folder / strategy,
            device=device,
            processes=count,
            whole=BATCH * processes,
            threads=threads,
        )

    run("serial", 1)
    verdicts = []
    for strategy in strategies:
        run(strategy, processes)
        checks = compare_runs(folder / "serial", folder / strategy)
        verdicts.append(Verdict(strategy=strategy, processes=processes, checks=tuple(checks)))
    return verdicts


def compare_runs(serial: Path, other: Path) -> list[Check]:
    """Everything that must agree between two finished run folders."""
    return [
        _losses(serial, other),
        _weights(serial, other),
        *(_metrics(serial, other, split) for split in ("val", "test")),
        _predictions(serial, other),
        _ranks(other),
    ]


def _losses(serial: Path, other: Path) -> Check:
    """The training curve, step by step."""
    ours, theirs = _steps(serial), _steps(other)
    what = f"training loss of {len(ours)} steps"
    if ours.keys() != theirs.keys():
        where = f"{len(ours)} steps serially, {len(theirs)} here"
        return Check(what=what, difference=None, tolerance=LOSS_TOLERANCE, ok=False, where=where)
    apart = {step: abs(ours[step] - theirs[step]) for step in ours}
    first = next((step for step, d in apart.items() if not d <= LOSS_TOLERANCE), None)
    where = "" if first is None else f"from step {first} on"
    return _check(what, float(np.max(list(apart.values()))), LOSS_TOLERANCE, where)


def _steps(run: Path) -> dict[int, float]:
    events = records.read(run / records.FILE_NAME)
    steps = (event for event in events if event["event"] == "step")
    # JSON has no NaN: it is recorded as null.
    return {e["step"]: np.nan if e["loss"] is None else float(e["loss"]) for e in steps}


def _weights(serial: Path, other: Path) -> Check:
    from safetensors.numpy import load_file

    name = Path("checkpoints") / "last" / "model.safetensors"
    ours, theirs = load_file(serial / name), load_file(other / name)
    what = f"weights after training ({len(ours)} tensors)"
    if ours.keys() != theirs.keys():
        return Check(
            what=what, difference=None, tolerance=WEIGHT_TOLERANCE, ok=False, where="other names"
        )
    apart = {key: _apart(ours[key], theirs[key]) for key in ours}
    worst = max(apart, key=lambda key: apart[key])
    return _check(what, apart[worst], WEIGHT_TOLERANCE, f"most in {worst}")


def _apart(a: NDArray[Any], b: NDArray[Any]) -> float:
    return float(np.abs(a.astype(np.float64) - b.astype(np.float64)).max()) if a.size else 0.0


def _metrics(serial: Path, other: Path, split: str) -> Check:
    ours, theirs = (json.loads((run / "metrics.json").read_text()) for run in (serial, other))
    apart = {name: abs(ours[split][name] - theirs[split][name]) for name in METRICS}
    worst = max(apart, key=lambda name: apart[name])
    what = f"{split} {', '.join(METRICS)}"
    return _check(what, apart[worst], LOSS_TOLERANCE, f"most in {worst}")


def _predictions(serial: Path, other: Path) -> Check:
    """Every sample once, in the same order, with the same logits."""
    name = "predictions-test.npz"
    with np.load(serial / name) as ours, np.load(other / name) as theirs:
        ids = ours["ids"], theirs["ids"]
        logits = ours["logits"], theirs["logits"]
    what = f"test logits of {len(ids[0])} samples"
    if not np.array_equal(*ids):
        where = "other samples, or in another order"
        return Check(what=what, difference=None, tolerance=1e-3, ok=False, where=where)
    return _check(what, _apart(*logits), 1e-3, "")


def _ranks(run: Path) -> Check:
    """All ranks hold the same weights at the end; says which one does not."""
    events = [e for e in records.read(run / records.FILE_NAME) if e["event"] == "ranks"]
    ranks = events[-1]["ranks"] if events else []
    what = f"the same weights on {len(ranks)} ranks"
    if not ranks:
        return Check(what=what, difference=None, tolerance=0.0, ok=False, where="not recorded")
    odd = [row["rank"] for row in ranks if row["weights"] != ranks[0]["weights"]]
    where = f"rank {', '.join(map(str, odd))} differs from rank 0" if odd else ""
    return Check(what=what, difference=None, tolerance=0.0, ok=not odd, where=where)


def _check(what: str, difference: float, tolerance: float, where: str) -> Check:
    ok = difference <= tolerance  # False for NaN too
    return Check(
        what=what, difference=difference, tolerance=tolerance, ok=ok, where="" if ok else where
    )


def render(verdicts: Sequence[Verdict]) -> str:
    """The verdicts as text: a line a check."""
    lines = []
    for verdict in verdicts:
        lines.append(f"{verdict.strategy}, {verdict.processes} processes, against serial:")
        lines += [f"  {_line(check)}" for check in verdict.checks]
    return "\n".join(lines)


def _line(check: Check) -> str:
    mark = "same     " if check.ok else "DIFFERENT"
    apart = (
        ""
        if check.difference is None
        else f", largest difference {check.difference:.1e} (tolerance {check.tolerance:.0e})"
    )
    return f"{mark} {check.what}{apart}{f': {check.where}' if check.where else ''}"


def _call(module: str, *words: object) -> None:
    try:
        run_child([sys.executable, "-m", module, *map(str, words)])
    except ChildError as error:
        raise SelftestError(f"self-test: `{module} {words[0]}` failed: {error}") from None
