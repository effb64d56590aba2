"""The pictures of a study: speedup with the ideal line, efficiency, throughput, memory, losses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import resources

from medtrain.reports.markup import Markup
from medtrain.reports.svg import STYLES, Axis, Frame, Series, figure, spread
from medtrain.scaling.grid import Case
from medtrain.scaling.study import Measurement, Row, Study, series_name
from medtrain.scaling.tables import title_of

_MIB = 2**20


@dataclass
class Pictures:
    """figures: for the page, in order. files: file name without ending -> a whole SVG file."""

    figures: list[Markup] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, frame: Frame, lines: Sequence[Series], note: str) -> None:
        """Take a finished frame; its title is the heading."""
        drawing = frame.render()
        self.figures.append(figure(frame.title, drawing, legend=lines, note=note))
        self.files[name] = _standalone(drawing)


def draw(found: Study, measurements: Sequence[Measurement]) -> Pictures:
    """All pictures that have at least two points to show."""
    pictures = Pictures()
    for scaling in found.scalings:
        rows = [row for row in found.rows if row.case.scaling == scaling]
        series = _series(rows)
        if not series:
            continue
        title = title_of(scaling).split(":")[0]
        for name, label, value, ideal in _CURVES:
            words = (f"{title}: {label}", label)
            _curve(pictures, f"{name}-{scaling}", words, series, value, ideal)
    _losses(pictures, measurements)
    return pictures


_Value = Callable[[Row], float | None]
_Ideal = Callable[[Row, float], float]


def _ideal_rate(row: Row, processes: float) -> float:
    """The rate of the row's baseline, as often as there are processes."""
    return row.images_per_s / row.speedup * processes


_CURVES: tuple[tuple[str, str, _Value, _Ideal | None], ...] = (
    ("speedup", "speedup", lambda row: row.speedup, lambda _, n: n),
    ("efficiency", "efficiency", lambda row: row.efficiency, lambda _, __: 1.0),
    ("throughput", "images / s", lambda row: row.images_per_s, _ideal_rate),
    ("memory", "peak memory, MiB", lambda r: None if r.memory is None else r.memory / _MIB, None),
)


def _series(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Lines by strategy, precision, threads and batch.

    Each begins with one process: its own where that was measured, else its serial baseline.
    """
    by_baseline = {row.case: row for row in rows if row.case.is_baseline}
    lines: dict[str, list[Row]] = {}
    several = len({row.baseline.batch for row in rows}) > 1
    for row in rows:
        if row.case.is_baseline or row.baseline not in by_baseline:
            continue
        batch = f", batch {row.baseline.batch}" if several else ""
        name = f"{series_name(row.case)}{batch}"
        lines.setdefault(name, [by_baseline[row.baseline]]).append(row)
    return {
        name: sorted(_from_one_process(points), key=lambda row: row.case.processes)
        for name, points in lines.items()
    }


def _from_one_process(points: list[Row]) -> list[Row]:
    baseline, *own = points
    has_one = any(row.case.processes == 1 for row in own)
    return own if has_one else [baseline, *own]


def _curve(
    pictures: Pictures,
    name: str,
    words: tuple[str, str],
    series: dict[str, list[Row]],
    value: _Value,
    ideal: _Ideal | None,
) -> None:
    heading, label = words
    shown = list(series.items())[: STYLES - 1]
    lines = [
        Series(
            name=line,
            x=[float(row.case.processes) for row in rows],
            y=[value(row) for row in rows],
            style=at,
        )
        for at, (line, rows) in enumerate(shown)
    ]
    lines = [line for line in lines if any(y is not None for y in line.y)]
    if not lines:
        return
    counts = sorted({x for line in lines for x in line.x})
    if ideal is not None:
        first = shown[0][1][0]
        y = [ideal(first, n) for n in (1.0, counts[-1])]
        lines.append(Series(name="ideal", x=[1.0, counts[-1]], y=list(y), style=STYLES - 1))
    top = max(y for line in lines for y in line.y if y is not None)
    frame = Frame(
        heading,
        Axis(label="processes", low=0.8, high=counts[-1] + 0.2, only=tuple(counts)),
        Axis(label=label, low=0.0, high=top * 1.08),
    )
    for line in lines:
        frame.line(line)
    left = len(series) - len(shown)
    pictures.add(name, frame, lines, f"{left} more in the table." if left > 0 else "")


def _losses(pictures: Pictures, measurements: Sequence[Measurement]) -> None:
    """Training loss by step of settings with one global batch: the same where they are equal."""
    first: dict[Case, Measurement] = {}
    for measurement in measurements:
        if measurement.losses:
            first.setdefault(measurement.case, measurement)
    batches = {case.batch for case in first}
    chosen = [m for case, m in first.items() if case.batch == min(batches)][:STYLES]
    if len(chosen) < 2:
        return
    lines = [
        Series(
            name=str(m.case),
            x=[float(step) for step, _ in m.losses],
            y=[loss for _, loss in m.losses],
            style=at,
        )
        for at, m in enumerate(chosen)
    ]
    low, high = spread([y for line in lines for y in line.y], floor=0.0)
    ends = [x for line in lines for x in line.x]
    frame = Frame(
        "Training loss by optimizer step",
        Axis(label="optimizer steps", low=0.0, high=max(ends), whole=True),
        Axis(label="mean training loss", low=low, high=high),
    )
    for line in lines:
        frame.line(line)
    note = (
        f"All with a global batch of {min(batches)}. Dropout and what batch statistics are taken "
        "over differ between settings; without them only rounding should."
    )
    pictures.add("losses", frame, lines, note)


def _standalone(drawing: Markup) -> str:
    """An SVG file of its own: with name space and the page's colours."""
    style = (resources.files("medtrain.reports") / "style.css").read_text(encoding="utf-8")
    head, _, rest = drawing.partition(">")
    return f'{head} xmlns="http://www.w3.org/2000/svg"><style>{style}</style>{rest}\n'
