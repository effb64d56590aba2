"""The comparison of header readers for people: a table, a Markdown section, a plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

HEADER = ("DICOM headers by", "threads", "seconds", "spread", "files/s", "speedup")


def header_cells(report: dict[str, Any]) -> list[tuple[str, ...]]:
    """The header and a row of text for each reader; report: of `headers.compare_headers`."""
    return [HEADER, *(_cells(row) for row in report["rows"])]


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    seconds, middle = row["seconds"], row["median_seconds"]
    return (
        row["reader"],
        str(row["threads"]),
        f"{middle:.4f}",
        f"{(max(seconds) - min(seconds)) / middle:.0%}",
        f"{row['files_per_s']:.0f}",
        f"{row['speedup']:.2f}×",
    )


def header_text(report: dict[str, Any]) -> str:
    """The table with aligned columns and what it leaves out."""
    cells = header_cells(report)
    widths = [max(len(row[k]) for row in cells) for k in range(len(HEADER))]
    lines = [_aligned(row, widths) for row in cells]
    return "\n".join([*lines, "", *_remarks(report)])


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    name, *numbers = row
    rest = (cell.rjust(width) for cell, width in zip(numbers, widths[1:], strict=True))
    return "  ".join([name.ljust(widths[0]), *rest])


def _remarks(report: dict[str, Any]) -> list[str]:
    remarks = [
        f"{report['files']} DICOM files, read as far as their pixels; speedup: "
        f"t({report['baseline']}) / t; start-up of Dask's processes is not part of the seconds."
    ]
    for row in report["rows"]:
        if row["files_read"] < report["files"]:
            lost = report["files"] - row["files_read"]
            remarks.append(f"caution: {row['reader']} failed on {lost} of the files")
    return remarks + [f"left out: {name}: {why}" for name, why in report["left_out"].items()]


def header_markdown(report: dict[str, Any], plot: str) -> str:
    """The section of the page."""
    cells = header_cells(report)
    lines = ["", "## DICOM headers", ""]
    align = ("---", *["---:"] * (len(HEADER) - 1))
    lines += [f"| {' | '.join(row)} |" for row in (cells[0], align, *cells[1:])]
    lines += ["", *(f"{line}  " for line in _remarks(report)), "", f"![DICOM headers]({plot})", ""]
    for row in report["rows"]:
        seconds = ", ".join(f"{value:.4f}" for value in row["seconds"])
        lines.append(f"- {row['reader']}, {row['threads']} threads: {seconds}")
    return "\n".join(lines) + "\n"


def save_header_plot(report: dict[str, Any], path: Path) -> None:
    """Write a PNG: files per second of every reader, on a logarithmic axis."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = report["rows"]
    figure = Figure(figsize=(8, 1.4 + 0.4 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    names = [f"{row['reader']}, {row['threads']}" for row in rows]
    rates = [row["files_per_s"] for row in rows]
    bars = axes.barh(names, rates, color="#0072b2")
    axes.bar_label(bars, labels=[f"{rate:,.0f}" for rate in rates], padding=4, fontsize=9)
    axes.set(
        xlabel="headers per second (median)",
        title=f"{report['files']} DICOM headers",
        xscale="log",
        xlim=(min(rates) / 2, max(rates) * 4),
    )
    axes.invert_yaxis()
    figure.savefig(path, dpi=140, metadata={"Software": None})
