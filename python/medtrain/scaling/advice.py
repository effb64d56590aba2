"""What the numbers say in words: where the time goes, and the next cheapest thing to try."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from medtrain.scaling.grid import SPLITS, STRONG, Case
from medtrain.scaling.study import Amdahl, Row, Study

NOISY = 0.10  # spread over repeats above which differences are not to be trusted
WAITING = 0.05  # share of the time waited for data above which data is worth a look
GOOD = 0.85  # efficiency from which on more processes are worth their price


def advise(found: Study, *, cores: int) -> list[str]:
    """Sentences, the most important first; never empty."""
    parallel = [row for row in found.rows if row.case.processes > 1]
    sentences = [
        *_noise(found.rows),
        *_oversubscribed(parallel, cores),
        *_superlinear(parallel),
        *_waiting(found.rows),
        *_efficiency(parallel, found.amdahl),
        *_micro_batches(parallel),
        *_memory(found.rows),
    ]
    return sentences or [
        "Only one process was measured: nothing can be said about scaling; add --procs 1,2."
    ]


def _noise(rows: Sequence[Row]) -> list[str]:
    noisy = [row for row in rows if row.spread > NOISY]
    few = [row for row in rows if row.repeats < 3]
    found = []
    if few:
        found.append(
            f"{len(few)} of {len(rows)} settings were measured fewer than 3 times: "
            "repeat before you report them."
        )
    if noisy:
        worst = max(noisy, key=lambda row: row.spread)
        found.append(
            f"The repeats of {worst.case} differ by {worst.spread:.0%}: differences smaller than "
            "that say nothing; measure on a quiet machine or with more --repeats."
        )
    return found


def _oversubscribed(rows: Sequence[Row], cores: int) -> list[str]:
    wanted = [row for row in rows if row.case.device == "cpu"]
    over = [row for row in wanted if row.case.processes * row.case.threads > cores]
    if not over:
        return []
    worst = max(over, key=lambda row: row.case.processes * row.case.threads)
    return [
        f"{worst.case} wants {worst.case.processes * worst.case.threads} cores of the {cores} "
        "here: its processes wait for each other; its row shows the machine, not the strategy."
    ]


def _superlinear(rows: Sequence[Row]) -> list[str]:
    return [
        f"{row.case} is faster than linear (efficiency {row.efficiency:.2f}): do not report it "
        "before it is explained (a cold file cache or a busy machine during the baseline?)."
        for row in rows
        if row.superlinear
    ]


def _waiting(rows: Sequence[Row]) -> list[str]:
    worst = max(rows, key=lambda row: row.waiting)
    if worst.waiting <= WAITING:
        return []
    return [
        f"{worst.case} waits {worst.waiting:.0%} of its time for data: put the shards on a local "
        "disk or make them smaller before you add processes."
    ]


def _efficiency(rows: Sequence[Row], fits: Sequence[Amdahl]) -> list[str]:
    strong = [row for row in rows if row.case.scaling == STRONG]
    if not strong:
        return []
    best = max(strong, key=lambda row: row.images_per_s)
    if best.speedup < 1:
        return [
            f"No parallel setting beat one process (best: {best.case}, {best.speedup:.2f}x): "
            "stay serial here, or give each process more work (a larger batch or model)."
        ]
    words = f"{best.case} is {best.speedup:.2f}x of one process at efficiency {best.efficiency:.2f}"
    if best.efficiency >= GOOD:
        return [f"{words}: more processes are worth it as far as cores or GPUs go."]
    lost = 1 - best.efficiency
    limit = _limit(best, fits)
    return [
        f"{words}: {lost:.0%} of the processes' time goes to synchronisation and to what each of "
        f"them does alone{limit}; the cheapest fix is a larger batch per process or "
        "train.accumulate, then bf16 where the hardware has it."
    ]


def _limit(row: Row, fits: Sequence[Amdahl]) -> str:
    fit = next((f for f in fits if f.series.startswith(f"{row.case.strategy},")), None)
    if fit is None or fit.limit is None or fit.limit < 1 or fit.points < 2:
        return ""
    return f" (by Amdahl's law no more than {fit.limit:.1f}x with any number of processes)"


def _micro_batches(rows: Sequence[Row]) -> list[str]:
    """The pipeline beside the same model split by layers without micro-batches."""
    pipelines = {_like(row.case): row for row in rows if row.case.strategy == "pipeline"}
    pairs = [
        (pipelines[_like(row.case)], row)
        for row in rows
        if row.case.strategy in SPLITS and _like(row.case) in pipelines
    ]
    sentences = [
        f"{pipeline.case} gets through {pipeline.images_per_s / split.images_per_s:.2f} times the "
        f"images of {split.case.strategy}, where all processes but one wait for the whole batch"
        f"{_doubt(pipeline, split)}."
        for pipeline, split in pairs
    ]
    return list(dict.fromkeys(sentences))  # strong and weak scaling of a pipeline are the same


def _like(case: Case) -> Case:
    """What a pipeline and a plain split of it have in common."""
    return replace(case, strategy="pipeline")


def _doubt(one: Row, other: Row) -> str:
    noise = one.spread + other.spread
    is_within = abs(one.images_per_s / other.images_per_s - 1) <= noise
    return ": no more than the repeats differ" if is_within else ""


def _memory(rows: Sequence[Row]) -> list[str]:
    known = [row for row in rows if row.memory is not None]
    by_strategy: dict[str, int] = {}
    for row in known:
        if row.case.processes > 1 and row.memory is not None:
            name = row.case.strategy
            by_strategy[name] = min(row.memory, by_strategy.get(name, row.memory))
    if len(by_strategy) < 2:
        return []
    low = min(by_strategy, key=lambda name: by_strategy[name])
    high = max(by_strategy, key=lambda name: by_strategy[name])
    saved = 1 - by_strategy[low] / by_strategy[high]
    if saved < 0.05:
        return [f"All strategies need about the same memory here: {low} saves {saved:.0%}."]
    return [f"{low} needs {saved:.0%} less memory per process than {high}."]
