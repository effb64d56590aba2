"""The pictures of a scan, as PNG files; each says its question in the title."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from medprep.scan.headers import Header
from medprep.types import SourceItem

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BLUE, _ORANGE = "#0072b2", "#e69f00"  # of Okabe and Ito's palette
_MOST_BARS = 40
_DPI = 120


@dataclass(frozen=True, slots=True)
class Plot:
    """One picture: file name without ending, the sentence it illustrates, and the PNG bytes."""

    name: str
    title: str
    png: bytes


def draw_plots(
    summary: dict[str, Any], items: Sequence[SourceItem], headers: Sequence[Header]
) -> list[Plot]:
    """The pictures there is something to show for."""
    drawn = (
        _classes(summary),
        _sizes(headers),
        _captions(items),
        _boxes(items),
        _ages(items),
    )
    return [plot for plot in drawn if plot is not None]


def _classes(summary: dict[str, Any]) -> Plot | None:
    counts = {**summary["classes"]}
    if not counts:
        return None
    if summary["unlabelled"]:
        counts["(no label)"] = summary["unlabelled"]
    shown = sorted(counts.items(), key=lambda pair: pair[1])[-_MOST_BARS:]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        bars = axes.barh([name[:40] for name, _ in shown], [n for _, n in shown], color=_BLUE)
        axes.bar_label(bars, padding=3, fontsize=9)
        axes.margins(x=0.12)
        axes.set_xlabel("images")
        _tidy(axes)

    return _plot("classes", "Images of each class", draw, (8, 1.2 + 0.32 * len(shown)))


def _sizes(headers: Sequence[Header]) -> Plot | None:
    if not headers:
        return None

    def draw(figure: Figure) -> None:
        scatter, heights, aspects = figure.subplots(1, 3)
        width, height = [h.width for h in headers], [h.height for h in headers]
        scatter.scatter(width, height, s=9, alpha=0.35, color=_BLUE, linewidths=0)
        scatter.set(xlabel="width in pixels", ylabel="height in pixels", title="Each image")
        heights.hist([width, height], bins=30, color=[_BLUE, _ORANGE], label=["width", "height"])
        heights.set(xlabel="pixels", ylabel="images", title="Sides")
        heights.legend(frameon=False, fontsize=9)
        aspects.hist([h.width / h.height for h in headers], bins=30, color=_BLUE)
        aspects.set(xlabel="width / height", ylabel="images", title="Aspect ratio")
        for axes in (scatter, heights, aspects):
            _tidy(axes)

    return _plot("sizes", "Size of the images as stored", draw, (12, 3.8))


def _captions(items: Sequence[SourceItem]) -> Plot | None:
    captions = [item.caption for item in items if item.caption]
    if not captions:
        return None

    def draw(figure: Figure) -> None:
        characters, words = figure.subplots(1, 2)
        characters.hist([len(caption) for caption in captions], bins=40, color=_BLUE)
        characters.set(xlabel="characters", ylabel="captions")
        words.hist([len(caption.split()) for caption in captions], bins=40, color=_BLUE)
        words.set(xlabel="words", ylabel="captions")
        for axes in (characters, words):
            _tidy(axes)

    return _plot("captions", "Length of the captions", draw, (10, 3.6))


def _boxes(items: Sequence[SourceItem]) -> Plot | None:
    boxes = [box for item in items for box in item.boxes or ()]
    if not boxes:
        return None

    def draw(figure: Figure) -> None:
        sizes, counts = figure.subplots(1, 2)
        widths, heights = [b.x_max - b.x_min for b in boxes], [b.y_max - b.y_min for b in boxes]
        sizes.scatter(widths, heights, s=9, alpha=0.4, color=_BLUE, linewidths=0)
        sizes.set(xlabel="width in pixels", ylabel="height in pixels", title="Each box")
        numbers = [len(item.boxes) for item in items if item.boxes is not None]
        counts.hist(numbers, bins=range(max(numbers) + 2), align="left", color=_BLUE, rwidth=0.8)
        counts.set(xlabel="boxes in an image", ylabel="images", title="Boxes per image")
        for axes in (sizes, counts):
            _tidy(axes)

    return _plot("boxes", "The findings that are marked by boxes", draw, (10, 3.8))


def _ages(items: Sequence[SourceItem]) -> Plot | None:
    values = ((item.attributes or {}).get("age") for item in items)
    ages = [float(value) for value in values if value is not None]
    if not ages:
        return None

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.hist(ages, bins=range(0, 96, 5), color=_BLUE)
        axes.set(xlabel="age in years (90 stands for 90 and over)", ylabel="images")
        _tidy(axes)

    return _plot("ages", "Age of the patients, image by image", draw, (8, 3.4))


def _plot(name: str, title: str, draw: Callable[[Figure], None], size: tuple[float, float]) -> Plot:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Figure and canvas directly: pyplot would keep global state and look for a display.
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    draw(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    return Plot(name, title, buffer.getvalue())


def _tidy(axes: Axes) -> None:
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
