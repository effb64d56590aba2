"""Small charts drawn by hand: colours come from the page, so dark mode and print follow.

Coordinates are (x, y) in the 560-wide view box, y downwards.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from medtrain.reports.markup import Markup, joined, rounded, tag

WIDTH = 560
HEIGHT = 300
STYLES = 6
"""Series styles in the style sheet; colours of Okabe and Ito, told apart by dashes too."""

_LETTER = 7.2  # widest usual digit at font size 12, in DejaVu Sans, the widest of the font stack


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line of a chart; None breaks it."""

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    style: int = 0
    low: Sequence[float] | None = None  # a band around the line, same length as x
    high: Sequence[float] | None = None
    steps: bool = False  # draw points only where the line would be too short to see


@dataclass(frozen=True, kw_only=True)
class Axis:
    """Range and label of one axis.

    whole: whole-numbered ticks only; from_low: ticks count from the low end (epochs 1, 3, 5);
    only: these ticks and no others.
    """

    label: str
    low: float
    high: float
    whole: bool = False
    from_low: bool = False
    percent: bool = False
    only: tuple[float, ...] = ()

    def ticks(self) -> list[float]:
        """Return up to seven round values inside the range."""
        if self.only:
            return list(self.only)
        step = self._step()
        start = self.low if self.from_low else 0.0
        first = math.ceil((self.low - start) / step - 1e-9)
        last = math.floor((self.high - start) / step + 1e-9)
        return [start + i * step for i in range(first, last + 1)]

    def text(self, value: float) -> str:
        """Return a tick's label, with as many decimals as all ticks of the axis need."""
        if self.percent:
            return f"{value * 100:.4g}%"
        step = 1.0 if self.only else self._step()
        if max(abs(self.low), abs(self.high)) >= 1e6 or step < 1e-6:
            return rounded(value, 3)
        decimals = next((d for d in range(8) if math.isclose(round(step, d), step)), 8)
        return f"{value:,.{decimals}f}"

    def _step(self) -> float:
        span = self.high - self.low
        step = 10.0 ** math.floor(math.log10(span / 4))
        step *= next(f for f in (1, 2, 2.5, 5, 10) if span / (step * f) <= 6)
        if self.whole:
            step = max(1.0, math.ceil(step))
        return step


@dataclass
class Frame:
    """The plot area, its scales and the marks drawn so far."""

    title: str
    x: Axis
    y: Axis
    height: int = HEIGHT
    left: float = field(init=False)
    marks: list[Markup] = field(default_factory=list)

    def __post_init__(self) -> None:
        longest = max((len(self.y.text(v)) for v in self.y.ticks()), default=1)
        self.left = 36 + longest * _LETTER

    right = WIDTH - 14
    top = 18

    @property
    def bottom(self) -> float:
        """Height of the x axis."""
        return self.height - 44

    def at_x(self, value: float) -> float:
        """Map a value to the picture."""
        return self.left + (value - self.x.low) / (self.x.high - self.x.low) * (
            self.right - self.left
        )

    def at_y(self, value: float) -> float:
        """Map a value to the picture."""
        return self.bottom - (value - self.y.low) / (self.y.high - self.y.low) * (
            self.bottom - self.top
        )

    def line(self, series: Series) -> None:
        """Draw a series with its band; single points become dots."""
        style = f"s{series.style % STYLES}"
        if series.low is not None and series.high is not None:
            edge = list(zip(series.x, series.high, strict=True))
            edge += list(zip(series.x, series.low, strict=True))[::-1]
            self.marks.append(tag("polygon", points=self._points(edge), class_=f"band {style}"))
        for run in unbroken(series.x, series.y):
            if len(run) == 1:
                self.dot(*run[0], style, 4)
            else:
                self.marks.append(tag("polyline", points=self._points(run), class_=f"line {style}"))
                if len(run) <= 12 and not series.steps:
                    for x, y in run:
                        self.dot(x, y, style)

    def dot(self, x: float, y: float, style: str, radius: float = 3) -> None:
        """Draw a point."""
        self.marks.append(
            tag("circle", cx=_n(self.at_x(x)), cy=_n(self.at_y(y)), r=radius, class_=f"dot {style}")
        )

    def rule(self, x: float, label: str) -> None:
        """Draw a dashed vertical line, its label above the plot."""
        place = self.at_x(x)
        leftwards = place + len(label) * _LETTER + 8 > self.right
        self.marks.append(
            tag("line", x1=_n(place), x2=_n(place), y1=self.top, y2=_n(self.bottom), class_="rule")
        )
        self.marks.append(
            tag(
                "text",
                label,
                x=_n(place + (-5 if leftwards else 5)),
                y=self.top - 5,  # above the plot: no curve gets there
                class_="rule-label halo",
                text_anchor="end" if leftwards else "start",
            )
        )

    def segment(self, x1: float, y1: float, x2: float, y2: float, style: str) -> None:
        """Draw a straight piece in data coordinates."""
        self.marks.append(
            tag(
                "line",
                x1=_n(self.at_x(x1)),
                y1=_n(self.at_y(y1)),
                x2=_n(self.at_x(x2)),
                y2=_n(self.at_y(y2)),
                class_=style,
            )
        )

    def render(self) -> Markup:
        """Return the SVG: grid, axes, marks."""
        grid = []
        for value in self.y.ticks():
            y = self.at_y(value)
            grid.append(tag("line", x1=_n(self.left), x2=self.right, y1=_n(y), y2=_n(y)))
        labels = [
            tag("text", self.y.text(v), x=_n(self.left - 8), y=_n(self.at_y(v) + 4), class_="end")
            for v in self.y.ticks()
        ]
        labels += [
            tag("text", self.x.text(v), x=_n(self.at_x(v)), y=_n(self.bottom + 17), class_="middle")
            for v in self._x_ticks()
        ]
        middle_y = (self.top + self.bottom) / 2
        titles = [
            tag(
                "text",
                self.x.label,
                x=_n((self.left + self.right) / 2),
                y=self.height - 8,
                class_="axis middle",
            ),
            tag(
                "text",
                self.y.label,
                transform=f"translate(14 {_n(middle_y)}) rotate(-90)",
                class_="axis middle",
            ),
        ]
        base = tag(
            "line",
            x1=_n(self.left),
            x2=self.right,
            y1=_n(self.bottom),
            y2=_n(self.bottom),
            class_="base",
        )
        return picture(
            self.title,
            [tag("g", *grid, class_="grid"), base, *self.marks, tag("g", *labels, *titles)],
            self.height,
        )

    def _x_ticks(self) -> list[float]:
        ticks = self.x.ticks()
        widest = max((len(self.x.text(v)) for v in ticks), default=1) * _LETTER + 10
        room = max(1, int((self.right - self.left) / widest))
        return ticks[:: max(1, math.ceil(len(ticks) / room))]

    def _points(self, values: Iterable[tuple[float, float]]) -> str:
        return " ".join(f"{_n(self.at_x(x))},{_n(self.at_y(y))}" for x, y in values)


def picture(title: str, parts: Iterable[object], height: float, width: float = WIDTH) -> Markup:
    """Return an SVG element with its title for those who do not see it."""
    return tag(
        "svg",
        tag("title", title),
        joined(parts),
        viewBox=f"0 0 {_n(width)} {_n(height)}",
        role="img",
        aria_label=title,
    )


def figure(title: str, drawing: Markup, *, legend: Sequence[Series] = (), note: str = "") -> Markup:
    """Return a chart with heading, legend (when it has more than one line) and note."""
    keys = joined(
        tag("li", tag("span", class_=f"key s{series.style % STYLES}"), series.name)
        for series in legend
    )
    return tag(
        "figure",
        tag("figcaption", title),
        tag("ul", keys, class_="legend") if len(legend) > 1 else "",
        drawing,
        tag("p", note, class_="note") if note else "",
    )


def unbroken(x: Sequence[float], y: Sequence[float | None]) -> list[list[tuple[float, float]]]:
    """Split a line where values are missing."""
    runs: list[list[tuple[float, float]]] = [[]]
    for a, b in zip(x, y, strict=True):
        if b is None:
            runs.append([])
        else:
            runs[-1].append((a, b))
    return [run for run in runs if run]


def spread(
    values: Iterable[float | None],
    *,
    floor: float | None = None,
    ceiling: float | None = None,
) -> tuple[float, float]:
    """Return a range with some air around the values, kept within floor and ceiling."""
    known = [value for value in values if value is not None]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    air = (high - low) * 0.08 or abs(high) * 0.1 or 0.5
    low, high = low - air, high + air
    if floor is not None:
        low = max(low, floor)
    if ceiling is not None:
        high = min(high, ceiling)
    return (low, high) if high > low else (low - air, high + air)


def clipped(label: str, letters: int) -> str:
    """Shorten a label with an ellipsis."""
    return label if len(label) <= letters else label[: letters - 1] + "…"


def _n(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")
