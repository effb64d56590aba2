"""Bench results for people: a table on the terminal and a Markdown page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from medprep.bench.arithmetic import Comparison, Row

HEADER = (
    "engine", "kernel", "threads", "seconds", "spread", "images/s",
    "speedup", "efficiency", "scaling", "start-up s",
)  # fmt: skip
_TEXT_COLUMNS = 2
NOISY_SPREAD = 0.2
BUSY_LOAD = 0.5  # per core, before the bench began


def table_cells(comparison: Comparison) -> list[tuple[str, ...]]:
    """The header and a row of text for each configuration."""
    return [HEADER, *(_cells(row) for row in comparison.rows)]


def _cells(row: Row) -> tuple[str, ...]:
    startup = "–" if row.startup_seconds is None else f"{row.startup_seconds:.2f}"
    return (
        row.configuration.engine,
        row.configuration.kernel,
        str(row.configuration.threads),
        f"{row.median_seconds:.3f}",
        f"{row.spread:.0%}",
        f"{row.images_per_s:.0f}",
        f"{row.speedup:.2f}×",
        f"{row.efficiency:.0%}",
        f"{row.scaling:.2f}×",
        startup,
    )


def text_table(comparison: Comparison) -> str:
    """The table with aligned columns and what its words mean."""
    cells = table_cells(comparison)
    widths = [max(len(row[k]) for row in cells) for k in range(len(HEADER))]
    lines = ["  ".join(_aligned(row, widths)).rstrip() for row in cells]
    return "\n".join([*lines, "", *legend(comparison)])


def _aligned(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        cell.ljust(width) if k < _TEXT_COLUMNS else cell.rjust(width)
        for k, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]


def legend(comparison: Comparison) -> list[str]:
    """What each derived column is, in words."""
    return [
        f"speedup: t({comparison.baseline}) / t; efficiency: speedup / threads; scaling: t with "
        "the fewest threads of the same pair / t;",
        "seconds: median over the rounds; spread: (slowest - fastest) / median; start-up of a "
        "cluster is not part of the seconds.",
        f"every run made the same {comparison.images} images, digest {comparison.digest}",
    ]


def markdown(report: dict[str, Any], comparison: Comparison, plot: str | None) -> str:
    """The Markdown page: what was measured on what, the table, the plot, the raw seconds."""
    header, *rows = table_cells(comparison)
    align = ["---"] * _TEXT_COLUMNS + ["---:"] * (len(HEADER) - _TEXT_COLUMNS)
    lines = ["# medprep bench", "", *(f"- {line}" for line in context_lines(report)), ""]
    lines += [_markdown_row(row) for row in (header, align, *rows)]
    lines += ["", *(f"{line}  " for line in [*cautions(report, comparison), *legend(comparison)])]
    if plot is not None:
        lines += ["", f"![images per second over threads]({plot})"]
    lines += ["", "## Raw seconds, in the order of the rounds", ""]
    for row in comparison.rows:
        seconds = ", ".join(f"{value:.4f}" for value in row.seconds)
        lines.append(f"- {row.configuration}: {seconds}")
    return "\n".join(lines) + "\n"


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def cautions(report: dict[str, Any], comparison: Comparison) -> list[str]:
    """Why these figures should be read with care; empty when there is no reason."""
    found = []
    widest = max(comparison.rows, key=lambda row: row.spread)
    if widest.spread > NOISY_SPREAD:
        found.append(
            f"caution: {widest.configuration} varied by {widest.spread:.0%} between rounds; "
            "differences of that size mean nothing"
        )
    cores, load = report["machine"]["cores"]["usable"], report["machine"]["load_1min"]
    if load > BUSY_LOAD * cores:
        found.append(
            f"caution: the machine was busy at the start (load {load:.1f} on {cores} cores)"
        )
    most = max(row.configuration.threads for row in comparison.rows)
    if most > cores:
        found.append(f"caution: {most} threads on {cores} cores cannot scale")
    return found


def context_lines(report: dict[str, Any]) -> list[str]:
    """Machine, versions, input and method in words."""
    box, data, method = report["machine"], report["input"], report["method"]
    versions = ", ".join(f"{name} {value}" for name, value in report["versions"].items() if value)
    return [
        f"machine: {box['cpu']}, {box['cores']['usable']} usable cores, "
        f"{box['memory']['total_gib']:.1f} GiB, load at the start {box['load_1min']:.1f}",
        f"versions: {versions}",
        f"input: {data['images']} images, {data['bytes'] / 2**20:.1f} MiB encoded "
        f"({data['bytes_per_image'] / 1024:.0f} KiB each), read from the page cache",
        f"pipeline: {data['pipeline']}",
        f"method: {method['repeats']} rounds, every configuration once per round, in a new order "
        f"each round, after {method['warm_up']} warm-up round that is not counted; planning "
        f"({method['plan_seconds']:.2f} s, once) not counted; shards written to "
        f"{method['scratch_file_system']} and deleted; one thread per kernel (OpenCV, OpenMP "
        "and BLAS capped)",
    ]
