"""Figures of how well a model tells classes apart, and of what its probabilities mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from medtrain.metrics import margins, roc_at, roc_band, roc_points
from medtrain.metrics.arrays import FloatArray, group_codes
from medtrain.reports.collect import Predictions, finite
from medtrain.reports.markup import Markup, joined, tag
from medtrain.reports.svg import WIDTH, Axis, Frame, Series, clipped, figure, picture, spread

_ROC_CLASSES = 6
_CURVE_POINTS = 400
_RESAMPLES = 300
_FEWEST_RESAMPLES = 100
_AFFORDABLE_ROWS = 20_000_000  # rows of all resamples together: some seconds


def roc(predictions: Predictions, metrics: Mapping[str, Any], title: str) -> Markup | None:
    """Draw the ROC curve with its pointwise bootstrap band; one curve per class for more than 2."""
    classes = list(metrics.get("classes") or [])
    if len(classes) != predictions.logits.shape[1]:
        return None
    frame = Frame(
        f"ROC curve, {title}",
        Axis(label="false positive rate (1 - specificity)", low=0.0, high=1.0),
        Axis(label="true positive rate (sensitivity)", low=0.0, high=1.0),
        height=400,
    )
    frame.segment(0, 0, 1, 1, "chance")
    if len(classes) == 2:
        return _binary_roc(frame, predictions, metrics, classes)
    return _class_rocs(frame, predictions, metrics, classes)


def _binary_roc(
    frame: Frame, predictions: Predictions, metrics: Mapping[str, Any], classes: list[str]
) -> Markup | None:
    name = metrics.get("positive_class")
    positive = classes.index(name) if name in classes else 1
    scores, truth = margins(predictions.logits, positive), predictions.labels == positive
    points = roc_points(scores, truth)
    if points is None:
        return None
    grid = np.linspace(0.0, 1.0, 101)
    codes = group_codes(predictions.groups, truth.size)
    resamples = max(_FEWEST_RESAMPLES, min(_RESAMPLES, _AFFORDABLE_ROWS // truth.size))
    band = roc_band(scores, truth, codes, grid, seed=0, resamples=resamples)
    drawn = "patients" if codes is not None else "images"
    note = "No band: every bootstrap resample gave this curve."
    if band is not None and float(np.max(band[1] - band[0])) > 0:
        note = f"Band: pointwise 95% percentile bootstrap, {drawn} resampled {resamples} times."
        frame.line(
            Series(
                name="band",
                x=grid.tolist(),
                y=[None] * grid.size,
                low=band[0].tolist(),
                high=band[1].tolist(),
            )
        )
    x, y = thinned(points[0], points[1])
    frame.line(Series(name="ROC", x=x, y=y, steps=True))
    sensitivity, specificity = (
        finite(metrics.get("sensitivity")),
        finite(metrics.get("specificity")),
    )
    point = ""
    if sensitivity is not None and specificity is not None:
        frame.dot(1 - specificity, sensitivity, "s1 operating", 5)
        point = " The dot is the operating point at probability 0.5."
    return figure(
        f"ROC curve for '{classes[positive]}': {auroc_text(metrics)}",
        frame.render(),
        note=note + point,
    )


def _class_rocs(
    frame: Frame, predictions: Predictions, metrics: Mapping[str, Any], classes: list[str]
) -> Markup | None:
    rows = [row for row in metrics.get("per_class") or [] if finite(row.get("auroc")) is not None]
    hardest = sorted(rows, key=lambda row: float(row["auroc"]))[:_ROC_CLASSES]
    lines = []
    for style, row in enumerate(hardest):
        k = classes.index(row["class"])
        points = roc_points(margins(predictions.logits, k), predictions.labels == k)
        if points is None:
            continue
        x, y = thinned(points[0], points[1])
        name = f"{clipped(row['class'], 28)} {row['auroc']:.3f}"
        lines.append(Series(name=name, x=x, y=y, style=style, steps=True))
    if not lines:
        return None
    for line in lines:
        frame.line(line)
    which = "" if len(rows) <= _ROC_CLASSES else f" The {len(lines)} hardest of {len(rows)}."
    return figure(
        f"ROC curves, each class against the rest: {auroc_text(metrics)}",
        frame.render(),
        legend=lines,
        note=f"Beside each class its own AUROC.{which}",
    )


def calibration(metrics: Mapping[str, Any]) -> Markup | None:
    """Draw observed frequency against stated probability with Wilson bars."""
    stated = metrics.get("calibration")
    if not isinstance(stated, Mapping) or not stated.get("bins"):
        return None
    what = str(stated.get("of", "probability"))
    frame = Frame(
        "Calibration: stated probability against observed frequency",
        Axis(label=f"mean {clipped(what, 44)}", low=0.0, high=1.0),
        Axis(label="observed frequency", low=0.0, high=1.0),
        height=400,
    )
    frame.segment(0, 0, 1, 1, "chance")
    bins = stated["bins"]
    for row in bins:
        interval = row.get("interval")
        if isinstance(interval, Mapping):
            x = row["mean_probability"]
            frame.segment(x, interval["low"], x, interval["high"], "whisker s0")
    x_values = [row["mean_probability"] for row in bins]
    frame.line(Series(name="observed", x=x_values, y=[row["observed"] for row in bins], steps=True))
    for row in bins:
        frame.dot(row["mean_probability"], row["observed"], "s0", 4)
    ece, brier = finite(metrics.get("ece")), finite(metrics.get("brier"))
    scores = [f"calibration error {ece:.3f}"] if ece is not None else []
    scores += [f"Brier score {brier:.3f}"] if brier is not None else []
    smallest = min(row["n"] for row in bins)
    return figure(
        "Calibration: " + ", ".join(scores) if scores else "Calibration",
        frame.render(),
        note=f"{stated.get('binning', '')}. Bars: 95% Wilson intervals, images taken as "
        f"independent; the smallest bin holds "
        f"{smallest} {'image' if smallest == 1 else 'images'}. On the diagonal, probabilities "
        "mean what they say.",
    )


def confusion_map(metrics: Mapping[str, Any], title: str) -> Markup:
    """Draw a large confusion matrix as shades; rows are truth, each scaled to its own total."""
    counts, classes = np.array(metrics["confusion"], dtype=float), metrics["classes"]
    k = len(classes)
    longest = min(26, max(len(name) for name in classes))
    left, top, cell = longest * 6.2 + 40, 40.0, max(12.0, min(28.0, 640.0 / k))
    shares = np.divide(
        counts,
        counts.sum(axis=1, keepdims=True),
        out=np.zeros_like(counts),
        where=counts.sum(axis=1, keepdims=True) > 0,
    )
    parts: list[Markup] = []
    for i in range(k):
        y = top + i * cell
        parts.append(
            tag(
                "text",
                f"{clipped(classes[i], 26)} {i + 1}",
                x=left - 6,
                y=f"{y + cell / 2 + 3.5:.1f}",
                class_="small end",
            )
        )
        parts.append(
            tag(
                "text",
                str(i + 1),
                x=f"{left + (i + 0.5) * cell:.1f}",
                y=top - 6,
                class_="tiny middle",
            )
        )
        for j in range(k):
            parts.append(
                tag(
                    "rect",
                    tag(
                        "title",
                        f"{classes[i]} called {classes[j]}: "
                        f"{counts[i, j]:.0f} ({shares[i, j]:.0%})",
                    ),
                    x=f"{left + j * cell:.1f}",
                    y=f"{y:.1f}",
                    width=f"{cell - 1:.1f}",
                    height=f"{cell - 1:.1f}",
                    class_="cell",
                    fill_opacity=f"{shares[i, j]:.3f}",
                )
            )
    parts.append(
        tag("text", "called", x=f"{left + k * cell / 2:.1f}", y=top - 24, class_="axis middle")
    )
    drawing = picture(
        f"Confusion matrix, {title}", parts, top + k * cell + 8, max(left + k * cell + 8, WIDTH)
    )
    return tag("div", drawing, class_="wide")


def forest(rows: Sequence[tuple[str, Mapping[str, Any]]], title: str) -> Markup | None:
    """Draw AUROC intervals side by side; rows: (run name, metrics of the same split)."""
    known = [(name, m) for name, m in rows if finite(m.get("auroc")) is not None]
    if not known:
        return None
    ends = [float(m["auroc"]) for _, m in known]
    for _, m in known:
        interval = m.get("auroc_interval")
        if isinstance(interval, Mapping):
            ends += [float(interval["low"]), float(interval["high"])]
    low, high = spread(ends, floor=0.0, ceiling=1.0)
    letters = min(30, max(len(name) for name, _ in known))
    height = 60 + 30 * len(known)
    frame = Frame(
        title,
        Axis(label="AUROC", low=low, high=high),
        Axis(label="", low=0.0, high=float(len(known))),
        height=height,
    )
    frame.left = letters * 6.9 + 18
    parts: list[Markup] = []
    for value in frame.x.ticks():
        x = f"{frame.at_x(value):.1f}"
        parts.append(tag("line", x1=x, x2=x, y1=frame.top, y2=frame.bottom, class_="gridline"))
        parts.append(tag("text", frame.x.text(value), x=x, y=frame.bottom + 17, class_="middle"))
    for i, (name, m) in enumerate(known):
        y = len(known) - i - 0.5
        interval = m.get("auroc_interval")
        if isinstance(interval, Mapping):
            frame.segment(interval["low"], y, interval["high"], y, "whisker s0")
        frame.dot(float(m["auroc"]), y, "s0", 5)
        parts.append(
            tag(
                "text",
                clipped(name, 30),
                x=frame.left - 10,
                y=f"{frame.at_y(y) + 4:.1f}",
                class_="end",
            )
        )
    label = tag(
        "text",
        "AUROC",
        x=f"{(frame.left + frame.right) / 2:.1f}",
        y=height - 6,
        class_="axis middle",
    )
    return figure(
        title,
        picture(title, [joined(parts), *frame.marks, label], height),
        note="Dot: value; bar: 95% interval, where there is one. Overlapping bars do not prove "
        "that models are equal, nor do close values that they differ.",
    )


def auroc_text(metrics: Mapping[str, Any]) -> str:
    """Return "AUROC 0.943 (95% 0.921 to 0.961)", or what is missing of it."""
    value = finite(metrics.get("auroc"))
    word = "macro AUROC" if metrics.get("averaging") == "macro" else "AUROC"
    if value is None:
        return f"{word} not defined"
    interval = metrics.get("auroc_interval")
    if not isinstance(interval, Mapping):
        return f"{word} {value:.3f}"
    return (
        f"{word} {value:.3f} ({interval.get('level', 0.95):.0%} "
        f"{interval['low']:.3f} to {interval['high']:.3f})"
    )


def thinned(x: FloatArray, y: FloatArray) -> tuple[list[float], list[float | None]]:
    """Keep a curve small: its corners if few, else as many points evenly over x."""
    if x.size > 2:
        turn = np.diff(y[:-1]) * np.diff(x[1:]) != np.diff(y[1:]) * np.diff(x[:-1])
        kept = np.concatenate([[True], turn, [True]])
        x, y = x[kept], y[kept]
    if x.size > _CURVE_POINTS:
        grid = np.linspace(0.0, 1.0, _CURVE_POINTS)
        x, y = np.append(0.0, grid), np.append(0.0, roc_at(x, y, grid))
    return x.tolist(), y.tolist()
