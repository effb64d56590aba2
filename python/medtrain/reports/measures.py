"""Tables of measures: values, intervals, classes, confusions and shortcuts of one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from medtrain.reports import discrimination
from medtrain.reports.collect import SPLIT_TITLES, SPLITS, Run, finite
from medtrain.reports.markup import Markup, joined, number, table, tag, whole

Shortcuts = Mapping[str, Mapping[str, Any]]

_ROWS = (
    "auroc",
    "accuracy",
    "balanced_accuracy",
    "sensitivity",
    "specificity",
    "precision",
    "f1",
    "loss",
    "brier",
    "ece",
)
_PLAIN_NAMES = {
    "auroc": "AUROC",
    "f1": "F1",
    "brier": "Brier score",
    "ece": "expected calibration error",
}
_LARGEST_TABLE = 8  # classes; above, the confusion matrix becomes a picture


def measures(run: Run) -> Markup:
    """Return the table of all measures of the evaluated splits, with what they mean."""
    splits = [split for split in SPLITS if split in run.metrics]
    if not splits:
        return Markup("")
    quoted = run.metrics[splits[-1]]
    head: list[object] = ["Measure"]
    for split in splits:
        head += [SPLIT_TITLES[split].capitalize(), "95% interval"]
    rows = []
    for key in _ROWS:
        if all(key not in run.metrics[split] for split in splits):
            continue
        row: list[object] = [value_name(quoted, key)]
        for split in splits:
            metrics = run.metrics[split]
            interval = interval_of(metrics, key)
            row += [number(metrics.get(key)), interval_words(interval) if interval else "–"]
        rows.append(row)
    sizes: list[object] = ["Images"]
    for split in splits:
        sizes += [whole(run.metrics[split].get("n")), _patients(run.metrics[split])]
    rows.append(sizes)
    return section(
        "Measures",
        tag("p", _convention(quoted)),
        table(head, rows, numeric=range(1, len(head))),
        tag("p", _methods([run.metrics[split] for split in splits]), class_="note"),
        _per_class(quoted, SPLIT_TITLES[splits[-1]]),
    )


def _convention(metrics: Mapping[str, Any]) -> str:
    positive, classes = metrics.get("positive_class"), metrics.get("classes") or []
    if positive is not None:
        return f"Positive class: '{positive}'. A sample is called positive at probability 0.5."
    if len(classes) > 2:
        return (
            f"{len(classes)} classes: averages over classes (macro); a sample is called for its "
            "most probable class."
        )
    return "The positive class is not recorded."


def _methods(all_metrics: Sequence[Mapping[str, Any]]) -> str:
    methods: dict[str, list[str]] = {}
    for metrics in all_metrics:
        for key in _ROWS:
            interval = interval_of(metrics, key)
            if interval and interval.get("method"):
                named = methods.setdefault(str(interval["method"]), [])
                name = _PLAIN_NAMES.get(key, key.replace("_", " "))
                if name not in named:
                    named.append(name)
    if not methods:
        return "No intervals: see the reasons above."
    return "Intervals: " + "; ".join(f"{', '.join(v)}: {k}" for k, v in methods.items()) + "."


def _per_class(metrics: Mapping[str, Any], title: str) -> Markup:
    rows = metrics.get("per_class") or []
    if len(rows) <= 2:
        return Markup("")
    keys = ("auroc", "sensitivity", "specificity", "precision", "f1")
    body = [
        [row["class"], whole(row.get("n")), *(number(row.get(key)) for key in keys)] for row in rows
    ]
    head = ["Class", "n", *(_PLAIN_NAMES.get(key, key) for key in keys)]
    return joined(
        [
            tag("h3", f"Each class against the rest, {title} split"),
            table(head, body, numeric=range(1, 7)),
        ]
    )


def shortcut_table(run: Run, shortcuts: Shortcuts | None) -> Markup:
    """Return what single numbers would score, beside the model; empty without any."""
    if not shortcuts:
        return Markup("")
    quoted = best_metrics(run)
    rows: list[list[object]] = []
    if quoted:
        interval = interval_of(quoted[1], "auroc")
        rows.append(
            [
                f"this model ({SPLIT_TITLES[quoted[0]]})",
                "–",
                number(quoted[1].get("auroc")),
                interval_words(interval) if interval else "–",
            ]
        )
    for name, row in shortcuts.items():
        stated = row.get("auroc_interval")
        interval = stated if isinstance(stated, Mapping) else None
        rows.append(
            [
                name,
                row.get("direction") or "–",
                number(row.get("auroc")),
                interval_words(interval) if interval else "–",
            ]
        )
    return section(
        "What a shortcut alone would give",
        tag(
            "p",
            "AUROC of one number per image that carries no anatomy; its direction is chosen on "
            "the training split. A model has to be clearly better than these.",
        ),
        table(["Predictor", "Direction", "AUROC", "95% interval"], rows, numeric=(2, 3)),
    )


def confusion(metrics: Mapping[str, Any], title: str) -> Markup:
    """Return the confusion matrix: a table of counts, or a picture for many classes."""
    counts, classes = metrics.get("confusion"), metrics.get("classes")
    if not counts or not classes:
        return Markup("")
    caption = f"Confusion matrix, {title}: rows are the truth, columns what the model called"
    if len(classes) > _LARGEST_TABLE:
        return joined(
            [
                tag("h4", caption),
                discrimination.confusion_map(metrics, title),
                _worst_confusions(counts, classes),
            ]
        )
    rows: list[list[object]] = []
    for name, row in zip(classes, counts, strict=True):
        total = sum(row)
        cells = [
            tag(
                "div",
                tag("span", whole(count), class_="count"),
                tag("span", f"{count / total:.1%}" if total else "–", class_="share"),
                class_="shade",
                style=f"--share: {count / total if total else 0:.3f}",
            )
            for count in row
        ]
        rows.append([name, *cells, whole(total)])
    head = ["truth", *(tag("span", f"called {name}") for name in classes), "total"]
    body = table(head, rows, numeric=[len(head) - 1], caption=caption)
    return tag("div", body, class_="confusion even" if len(classes) <= 3 else "confusion")


def _worst_confusions(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> Markup:
    wrong = sorted(
        (
            (count, classes[i], classes[j], sum(row))
            for i, row in enumerate(counts)
            for j, count in enumerate(row)
            if i != j and count
        ),
        key=lambda entry: -entry[0],
    )[:10]
    if not wrong:
        return Markup("")
    rows = [
        [truth, called, whole(count), f"{count / total:.1%}"]
        for count, truth, called, total in wrong
    ]
    head = ["Truth", "Called", "Images", "of the class"]
    return table(head, rows, numeric=(2, 3), caption="Most frequent confusions")


def interval_of(metrics: Mapping[str, Any], key: str) -> Mapping[str, Any] | None:
    """Return a value's interval, or None."""
    intervals = metrics.get("intervals")
    found = intervals.get(key) if isinstance(intervals, Mapping) else None
    if found is None and key == "auroc":
        found = metrics.get("auroc_interval")
    if not isinstance(found, Mapping):
        return None
    return found if finite(found.get("low")) is not None else None


def interval_words(interval: Mapping[str, Any]) -> Markup:
    """Return "0.888 to 0.940" with the exact ends in it."""
    return joined([number(interval["low"]), " to ", number(interval["high"])])


def why_no_interval(metrics: Mapping[str, Any], key: str) -> str:
    """Return the recorded reason for a missing value or interval."""
    undefined = metrics.get("undefined")
    reasons = undefined if isinstance(undefined, Mapping) else {}
    return str(reasons.get(key) or reasons.get(f"{key}_interval") or "no interval")


def value_name(metrics: Mapping[str, Any], key: str) -> str:
    """Return a value's name as recorded, else a plain one, with a capital."""
    names = metrics.get("names")
    stated = names.get(key) if isinstance(names, Mapping) else None
    words = str(stated or _PLAIN_NAMES.get(key, key.replace("_", " ")))
    return words[0].upper() + words[1:]


def _patients(metrics: Mapping[str, Any]) -> str:
    groups = metrics.get("n_groups")
    return f"{groups:,} patients" if isinstance(groups, int) else "patients unknown"


def best_metrics(run: Run) -> tuple[str, Mapping[str, Any]] | None:
    """Return the split to quote (test before validation) and its metrics."""
    return next(((s, run.metrics[s]) for s in ("test", "val") if s in run.metrics), None)


def section(title: str, *parts: object) -> Markup:
    """Return a headed section."""
    return tag("section", tag("h2", title), *parts)
