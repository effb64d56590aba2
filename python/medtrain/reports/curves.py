"""Figures of how training went: values over epochs and steps, of one run or of several."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace

from medtrain.reports.collect import SPLIT_TITLES, Run, finite
from medtrain.reports.compare import Setting
from medtrain.reports.markup import Markup, tag
from medtrain.reports.svg import STYLES, Axis, Frame, Series, figure, spread

_CURVE_POINTS = 400
_UNBOUNDED = ("loss", "images_per_s")


def learning_curve(run: Run, name: str, title: str) -> Markup | None:
    """Draw training and validation values of one metric over epochs, the best epoch marked."""
    x = run.epoch_numbers
    lines = [
        Series(name=SPLIT_TITLES[part], x=x, y=run.series(part, name), style=i)
        for i, part in enumerate(("train", "val"))
    ]
    lines = [line for line in lines if any(value is not None for value in line.y)]
    if not lines:
        return None
    bounded = name != "loss"
    low, high = spread(
        [value for line in lines for value in line.y],
        floor=0.0,
        ceiling=1.0 if bounded else None,
    )
    frame = Frame(f"{title} over epochs", epoch_axis(x), Axis(label=title, low=low, high=high))
    best = run.best_epoch()
    if best and min(x) <= best[0] <= max(x) and len(x) > 1:
        frame.rule(best[0], f"kept: epoch {best[0]}")
    for line in lines:
        frame.line(line)
    heading = f"{title}, {lines[0].name}" if len(lines) == 1 else title
    return figure(heading, frame.render(), legend=lines)


def throughput(run: Run) -> Markup | None:
    """Draw training images per second over epochs."""
    values = run.series("train", "images_per_s")
    known = [value for value in values if value is not None]
    if not known:
        return None
    frame = Frame(
        "Training throughput over epochs",
        epoch_axis(run.epoch_numbers),
        Axis(label="images / s", low=0.0, high=max(known) * 1.15 or 1.0),
    )
    frame.line(Series(name="images/s", x=run.epoch_numbers, y=values))
    steady = run.images_per_s()
    note = (
        f"Median without the first epoch, which warms up: {steady:,.1f} images/s."
        if steady is not None
        else "One epoch only: it includes the warm-up."
    )
    return figure("Training throughput, all processes together", frame.render(), note=note)


def waiting(run: Run) -> Markup | None:
    """Draw the share of each epoch's training time that was spent waiting for data."""
    shares = [
        d / s if d is not None and s else None
        for d, s in zip(
            run.series("train", "data_seconds"), run.series("train", "seconds"), strict=True
        )
    ]
    known = [share for share in shares if share is not None]
    if not known:
        return None
    numbers = run.epoch_numbers
    top = min(1.0, max(0.1, max(known) * 1.2))
    axis = Axis(
        label="epoch",
        low=min(numbers) - 0.7,
        high=max(numbers) + 0.7,
        only=tuple(epoch_axis(numbers).ticks()),
    )
    frame = Frame(
        "Share of training time spent waiting for data",
        axis,
        Axis(label="share of time", low=0.0, high=top, percent=True),
    )
    half = min(18.0, 0.35 * (frame.at_x(2) - frame.at_x(1)))
    for number, share in zip(numbers, shares, strict=True):
        if share is None:
            continue
        y = frame.at_y(min(share, top))
        frame.marks.append(
            tag(
                "rect",
                x=f"{frame.at_x(number) - half:.1f}",
                y=f"{y:.1f}",
                width=f"{2 * half:.1f}",
                height=f"{max(frame.bottom - y, 1.0):.1f}",
                class_="bar s0",
            )
        )
    total = run.waiting_share()
    note = f"Over the run, first epoch left out where there are more: {total:.1%}." if total else ""
    return figure("Time spent waiting for data", frame.render(), note=note)


def learning_rate(run: Run) -> Markup | None:
    """Draw the learning rate over steps, or over epochs when no steps were recorded."""
    rows = [
        (float(s["step"]), rate)
        for s in run.steps
        if finite(s.get("step")) is not None
        and (rate := finite(s.get("learning_rate"))) is not None
    ]
    label = "optimizer step"
    if len(rows) < 2:
        label = "epoch"
        rows = [
            (float(e["epoch"]), rate)
            for e in run.epochs
            if (rate := finite(e.get("learning_rate"))) is not None
        ]
    if not rows:
        return None
    rows = sorted(dict(rows).items())[:: max(1, len(rows) // _CURVE_POINTS)]
    x, y = [a for a, _ in rows], [b for _, b in rows]
    x_axis = (
        Axis(label=label, low=x[0] - 1, high=x[0] + 1, whole=True)
        if len(x) == 1
        else Axis(label=label, low=x[0], high=x[-1], whole=True)
    )
    frame = Frame(
        "Learning rate",
        x_axis,
        Axis(label="learning rate", low=0.0, high=max(y) * 1.1 or 1.0),
    )
    frame.line(Series(name="learning rate", x=x, y=list(y), steps=label != "epoch"))
    return figure("Learning rate", frame.render())


def gradient_norm(run: Run) -> Markup | None:
    """Draw the gradient norm over steps, where it was recorded."""
    rows = {
        float(s["step"]): norm
        for s in run.steps
        if finite(s.get("step")) is not None and (norm := finite(s.get("grad_norm"))) is not None
    }
    if len(rows) < 2:
        return None
    pairs = sorted(rows.items())[:: max(1, len(rows) // _CURVE_POINTS)]
    x, y = [a for a, _ in pairs], [b for _, b in pairs]
    frame = Frame(
        "Gradient norm before clipping",
        Axis(label="optimizer step", low=x[0], high=x[-1], whole=True),
        Axis(label="norm", low=0.0, high=max(y) * 1.1 or 1.0),
    )
    frame.line(Series(name="norm", x=x, y=list(y), steps=True))
    return figure("Gradient norm before clipping", frame.render())


def overlay(
    settings: Sequence[Setting], part: str, name: str, words: tuple[str, str]
) -> Markup | None:
    """Draw one value of several settings over epochs in one picture.

    words: heading and axis label. Runs that differ only by seed become their median, with a band
    from the smallest to the largest value.
    """
    lines = [_setting_line(setting, part, name) for setting in settings]
    known = [line for line in lines if any(value is not None for value in line.y)]
    shown = [replace(line, style=i) for i, line in enumerate(known[:STYLES])]
    if not shown:
        return None
    values = [value for line in shown for value in (*line.y, *(line.low or ()), *(line.high or ()))]
    low, high = spread(values, floor=0.0, ceiling=None if name in _UNBOUNDED else 1.0)
    heading, label = words
    frame = Frame(
        heading,
        epoch_axis([number for line in shown for number in line.x]),
        Axis(label=label, low=low, high=high),
    )
    for line in shown:
        frame.line(line)
    notes = ["Band: smallest to largest over seeds."] if any(line.low for line in shown) else []
    if len(known) > len(shown):
        notes.append(f"The first {len(shown)} of {len(known)}.")
    return figure(heading, frame.render(), legend=shown, note=" ".join(notes))


def _setting_line(setting: Setting, part: str, name: str) -> Series:
    if len(setting.runs) == 1:
        run = setting.first
        return Series(name=run.name, x=run.epoch_numbers, y=run.series(part, name))
    by_epoch: dict[float, list[float]] = {}
    for run in setting.runs:
        for number, value in zip(run.epoch_numbers, run.series(part, name), strict=True):
            if value is not None:
                by_epoch.setdefault(number, []).append(value)
    x = sorted(by_epoch)
    return Series(
        name=setting.name,
        x=x,
        y=[statistics.median(by_epoch[number]) for number in x],
        low=[min(by_epoch[number]) for number in x],
        high=[max(by_epoch[number]) for number in x],
    )


def epoch_axis(numbers: Sequence[float]) -> Axis:
    """Return the x axis of epochs; a single epoch stands in the middle."""
    low, high = min(numbers), max(numbers)
    if low == high:
        return Axis(label="epoch", low=low - 1, high=high + 1, only=(low,))
    return Axis(label="epoch", low=low, high=high, whole=True, from_low=True)
