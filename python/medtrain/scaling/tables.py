"""The table of a study as columns (CSV) and as Markdown; numbers come from the rows, unrounded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from medtrain.scaling.grid import STRONG
from medtrain.scaling.study import Amdahl, DeviceRow, Row, Study

_MIB = 2**20
COLUMNS = (
    *("scaling", "device", "strategy", "processes", "threads", "precision", "global_batch"),
    *("images_per_s", "slowest", "fastest", "spread", "repeats", "step_s", "waiting"),
    *("peak_memory_bytes", "baseline", "speedup", "units", "efficiency", "superlinear"),
)


def columns(row: Row) -> list[Any]:
    """One line of the CSV, in the order of `COLUMNS`."""
    case = row.case
    return [
        *(case.scaling, case.device, case.strategy, case.processes, case.threads),
        *(case.precision, case.batch, row.images_per_s, row.slowest, row.fastest, row.spread),
        *(row.repeats, row.step_s, row.waiting, "" if row.memory is None else row.memory),
        *(str(row.baseline), row.speedup, row.units, row.efficiency, row.superlinear),
    ]


HEAD = (
    *("setting", "images/s (median)", "slowest to fastest", "ms/step", "waiting"),
    *("memory, MiB", "speedup", "efficiency"),
)


def cells(row: Row) -> list[str]:
    """One line of the tables for people; efficiency is marked where it is above linear."""
    memory = "–" if row.memory is None else f"{row.memory / _MIB:,.0f}"
    mark = " (!)" if row.superlinear else ""
    return [
        str(row.case),
        f"{row.images_per_s:,.1f}",
        f"{row.slowest:,.1f} to {row.fastest:,.1f}",
        f"{row.step_s * 1000:,.1f}",
        f"{row.waiting:.1%}",
        memory,
        f"{row.speedup:.2f}",
        f"{row.efficiency:.2f}{mark}",
    ]


DEVICE_HEAD = ("setting", "images/s (median)", "against serial CPU")


def device_cells(row: DeviceRow) -> list[str]:
    """One line of the table across devices."""
    return [str(row.case), f"{row.images_per_s:,.1f}", f"{row.ratio:.1f}x"]


def devices_text(found: Study) -> str:
    """What the table across devices is, and is not."""
    reference = found.devices[0].reference
    return (
        f"Images/s of each GPU setting over that of the fastest serial CPU setting ({reference}): "
        "a comparison of machines, neither speedup nor efficiency of the code."
    )


def title_of(scaling: str) -> str:
    """What a table's rows share."""
    if scaling == STRONG:
        return "Strong scaling: the global batch stays the same"
    return "Weak scaling: the batch of each process stays the same"


def amdahl_text(fit: Amdahl) -> str:
    """The fit in words; what it cannot say is said."""
    share, error = f"{fit.serial_share:.1%}", f"{fit.error:.3f}"
    points = "1 point" if fit.points == 1 else f"{fit.points} points"
    if fit.limit is None:
        return (
            f"{fit.series}: faster than linear, so Amdahl's law does not apply (serial share "
            f"{share} from {points})"
        )
    if fit.limit < 1:
        return (
            f"{fit.series}: slower with more processes, which Amdahl's law knows nothing of: their "
            f"own cost grows (from {points})"
        )
    if fit.points == 1:
        return (
            f"{fit.series}: serial share {share}, from 1 point, which any law would fit: measure "
            "more numbers of processes before you extrapolate"
        )
    return (
        f"{fit.series}: serial share {share}, so at most {fit.limit:.1f}x with any number of "
        f"processes (from {points}, error {error} in 1/speedup)"
    )


def markdown(found: Study, report: Mapping[str, Any]) -> str:
    """The whole study as Markdown."""
    lines = ["# Scaling study", "", *_facts(report), ""]
    lines += [f"- {sentence}" for sentence in report["advice"]]
    for scaling in found.scalings:
        rows = [row for row in found.rows if row.case.scaling == scaling]
        lines += ["", f"## {title_of(scaling)}", "", *_table([cells(row) for row in rows])]
    if found.devices:
        lines += ["", "## Across devices: no scaling", "", devices_text(found), ""]
        lines += _table([device_cells(row) for row in found.devices], DEVICE_HEAD)
    if found.amdahl:
        lines += ["", "## Amdahl's law", "", *(f"- {amdahl_text(fit)}" for fit in found.amdahl)]
    if report["left_out"]:
        lines += ["", "## Left out", "", *(f"- {reason}" for reason in report["left_out"])]
    return "\n".join([*lines, "", _METHOD, ""])


_METHOD = (
    "Speedup is against one serial process of the same code, data, precision and threads; "
    "efficiency is speedup / processes. Images/s: all processes together, median over repeats of "
    "the median over windows of optimizer steps; warm-up, start-up, compilation, evaluation and "
    "saving are not in it. Memory: peak of the process that needed most, over all repeats. (!): "
    "more than linear beyond the spread; not to be reported before it is explained."
)


def facts(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Machine, versions, data and method, as name and text."""
    machine, versions = report["machine"], report["versions"]
    gpus = ", ".join(machine["gpus"]) or "no GPU"
    work = report["workload"]
    return [
        ("machine", f"{machine['cpu_model']}, {machine['cores']} usable cores, {gpus}"),
        ("versions", ", ".join(f"{name} {v}" for name, v in versions.items() if v)),
        ("commit", report["commit"] or "not recorded"),
        ("data", f"{work['data']}, digest {work['digest'][:16]}"),
        ("recipe", f"{work['recipe']}, model {work['model']}"),
        (
            "measured",
            f"{work['steps']} optimizer steps after {work['warmup']} of warm-up, "
            f"{_rounds(work['repeats'])} after one of warm-up, interleaved",
        ),
    ]


def _rounds(count: int) -> str:
    return "1 round" if count == 1 else f"{count} rounds"


def method() -> str:
    """What the columns mean."""
    return _METHOD


def _facts(report: Mapping[str, Any]) -> list[str]:
    return [f"{name}: {text}  " for name, text in facts(report)]


def _table(rows: list[list[str]], head: Sequence[str] = HEAD) -> list[str]:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return [f"| {' | '.join(row)} |" for row in ([*head], rule, *rows)]
