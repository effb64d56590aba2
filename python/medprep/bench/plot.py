"""The bench plot: throughput and scaling over threads, with the ideal line drawn in."""

from __future__ import annotations

from pathlib import Path

from medprep.bench.arithmetic import Comparison, Row

# Okabe and Ito's palette, plus a marker each, so that colour is never the only difference.
_STYLES = (
    ("#0072b2", "o"), ("#d55e00", "s"), ("#009e73", "^"), ("#cc79a7", "D"),
    ("#e69f00", "v"), ("#56b4e9", "P"),
)  # fmt: skip


def save_plot(comparison: Comparison, path: Path, *, title: str) -> None:
    """Write a PNG with two panels: images per second, and scaling against the ideal line.

    Points are medians, bars run from the slowest to the fastest round.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Figure and canvas directly: pyplot would keep global state and look for a display.
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    throughput, scaling = figure.subplots(1, 2)
    ticks = sorted({row.configuration.threads for row in comparison.rows})
    for k, rows in enumerate(_by_pair(comparison)):
        colour, marker = _STYLES[k % len(_STYLES)]
        name = f"{rows[0].configuration.engine} + {rows[0].configuration.kernel}"
        threads = [row.configuration.threads for row in rows]
        rates = [row.images_per_s for row in rows]
        bars = [
            [row.images_per_s * (1 - row.median_seconds / row.max_seconds) for row in rows],
            [row.images_per_s * (row.median_seconds / row.min_seconds - 1) for row in rows],
        ]
        throughput.errorbar(
            threads, rates, yerr=bars, color=colour, marker=marker, capsize=3, label=name
        )
        if len(rows) > 1:
            fewest = threads[0]
            ideal = [rates[0] * n / fewest for n in threads]
            throughput.plot(threads, ideal, color=colour, linestyle=":", linewidth=1)
            scaling.plot(
                [n / fewest for n in threads],
                [row.scaling for row in rows],
                color=colour,
                marker=marker,
                label=name,
            )
    most = max(ticks) / min(ticks)
    scaling.plot([1, most], [1, most], color="#555555", linestyle="--", label="ideal")
    throughput.set(
        xlabel="threads or workers",
        ylabel="images per second (median; bars: all rounds)",
        title="Throughput (dotted: ideal from the first point)",
        ylim=(0, None),
    )
    throughput.set_xticks(ticks)
    scaling.set(
        xlabel="threads, as a multiple of the fewest",
        ylabel="scaling: t(fewest threads) / t(n threads)",
        title="Scaling of each pair against itself",
        xlim=(0.8, most + 0.2),
        ylim=(0, None),
    )
    for axes in (throughput, scaling):
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=9)
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=140, metadata={"Software": None})


def _by_pair(comparison: Comparison) -> list[list[Row]]:
    """Rows of each engine and kernel, by threads."""
    pairs: dict[tuple[str, str], list[Row]] = {}
    for row in comparison.rows:
        pairs.setdefault((row.configuration.engine, row.configuration.kernel), []).append(row)
    return [sorted(rows, key=lambda row: row.configuration.threads) for rows in pairs.values()]
