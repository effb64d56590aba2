"""What a reader should know before quoting a number: plain sentences, the gravest first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medtrain.reports.collect import SPLIT_TITLES, SPLITS, Run, finite

FEW_SAMPLES = 100  # of a split
FEW_OF_A_CLASS = 30
FEW_GROUPS = 30  # the percentile bootstrap runs short below
WIDE_AUROC = 0.10
LONG_WAIT = 0.20


def cautions(run: Run, shortcuts: Mapping[str, Mapping[str, Any]] | None = None) -> list[str]:
    """Return the sentences for one run."""
    found = [*_state(run), *_splits(run)]
    for split in SPLITS:
        if split in run.metrics:
            found += _numbers(run.metrics[split], SPLIT_TITLES[split])
    found += _shortcuts(run, shortcuts or {})
    found += _curves(run)
    found += [f"In the run folder, {problem}." for problem in run.problems]
    return found


def _state(run: Run) -> list[str]:
    done, planned = len(run.epochs), run.planned_epochs
    progress = f"{done} of {planned} epochs" if planned else _count(done, "epoch")
    message = run.status.get("message")
    because = f" ({message})" if message and run.state in ("stopped", "failed") else ""
    sentences = {
        "running": f"The run is not finished: {progress} so far. Every number may still change.",
        "stopped": f"The run was stopped after {progress}{because}; it can be resumed.",
        "failed": f"The run failed after {progress}{because}.",
        "unknown": f"The run's state is not recorded; its records hold {progress}.",
    }
    found = [sentences[run.state]] if run.state in sentences else []
    if run.starts > 1:
        found.append(
            f"The run was resumed {_count(run.starts - 1, 'time')}; where an epoch was "
            "recorded twice, the later record is shown."
        )
    return found


def _splits(run: Run) -> list[str]:
    found = []
    if not run.metrics:
        found.append("There are no final metrics yet; the curves come from the epoch records.")
    elif "test" not in run.metrics:
        found.append(
            "No test split was evaluated. Validation numbers also chose the best epoch, so they "
            "are too kind."
        )
    tested = sum(event.get("split") == "test" for event in run.evaluations)
    if tested > 1:
        found.append(
            f"The test split was evaluated {tested} times. Choices made after the first look at it "
            "make its numbers too kind."
        )
    if run.metrics and all(metrics.get("n_groups") is None for metrics in run.metrics.values()):
        has_groups = any(p.groups is not None for p in run.predictions.values())
        if not has_groups:
            found.append(
                "No patient information: images of one patient may be in several splits, and the "
                "intervals take images for independent."
            )
    return found


def _numbers(metrics: Mapping[str, Any], title: str) -> list[str]:
    found = []
    n = metrics.get("n")
    if isinstance(n, int) and 0 < n < FEW_SAMPLES:
        found.append(f"The {title} split holds only {n} samples{_by_class(metrics)}.")
    else:
        found += _few_of_a_class(metrics, title)
    groups = metrics.get("n_groups")
    if isinstance(groups, int) and 0 < groups < FEW_GROUPS:
        found.append(f"The {title} split holds only {groups} patients; its intervals run short.")
    reasons = [f"{', '.join(names)} ({reason})" for reason, names in _reasons(metrics).items()]
    if reasons:
        found.append(f"Not defined on the {title} split: {'; '.join(reasons)}.")
    interval = metrics.get("auroc_interval")
    if isinstance(interval, Mapping):
        low, high = finite(interval.get("low")), finite(interval.get("high"))
        if low is not None and high is not None:
            if low <= 0.5 <= high:
                found.append(
                    f"The {title} AUROC cannot be told from chance: its interval includes 0.5."
                )
            elif high - low > WIDE_AUROC:
                found.append(
                    f"The {title} AUROC's interval is wide ({low:.3f} to {high:.3f}): models that "
                    "differ by less cannot be told apart on this split."
                )
    found += _majority(metrics, title)
    found += [f"On the {title} split, {note}." for note in metrics.get("notes") or []]
    return found


def _class_counts(metrics: Mapping[str, Any]) -> list[tuple[str, int]]:
    counts, classes = metrics.get("class_counts"), metrics.get("classes")
    if not counts and isinstance(metrics.get("confusion"), list):
        counts = [sum(row) for row in metrics["confusion"]]
    if not counts or not classes or len(counts) != len(classes):
        return []
    return list(zip(classes, counts, strict=True))


def _by_class(metrics: Mapping[str, Any]) -> str:
    counts = _class_counts(metrics)
    if not 0 < len(counts) <= 4:
        return ""
    return " (" + ", ".join(f"'{name}' {n}" for name, n in counts) + ")"


def _few_of_a_class(metrics: Mapping[str, Any], title: str) -> list[str]:
    few = [(name, n) for name, n in _class_counts(metrics) if 0 < n < FEW_OF_A_CLASS]
    if not few:
        return []
    if len(few) > 4:
        return [f"{len(few)} classes have fewer than {FEW_OF_A_CLASS} {title} samples."]
    listed = ", ".join(f"'{name}' {n}" for name, n in few)
    return [f"Few {title} samples of a class: {listed}."]


def _reasons(metrics: Mapping[str, Any]) -> dict[str, list[str]]:
    """Group undefined values by reason; an interval is named only if its value exists."""
    undefined = metrics.get("undefined")
    if not isinstance(undefined, Mapping):
        return {}
    grouped: dict[str, list[str]] = {}
    for name, reason in undefined.items():
        if name.endswith("_interval") and name.removesuffix("_interval") in undefined:
            continue
        grouped.setdefault(str(reason), []).append(readable(name))
    return grouped


def _majority(metrics: Mapping[str, Any], title: str) -> list[str]:
    counts, classes = metrics.get("class_counts"), metrics.get("classes")
    accuracy, n = finite(metrics.get("accuracy")), metrics.get("n")
    if not counts or not classes or accuracy is None or not n or max(counts) == n:
        return []
    share = max(counts) / n
    if accuracy > share:
        return []
    name = classes[counts.index(max(counts))]
    return [
        f"The {title} accuracy ({accuracy:.3f}) is no better than always answering "
        f"'{name}' ({share:.3f})."
    ]


def _shortcuts(run: Run, shortcuts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    model = next((run.metrics[s] for s in ("test", "val") if s in run.metrics), None)
    score = finite(model.get("auroc")) if model else None
    found = []
    for name, row in shortcuts.items():
        alone = finite(row.get("auroc"))
        if alone is None or score is None or alone < 0.65:
            continue
        verdict = (
            "as well as the model"
            if alone >= score
            else "far better than chance; the model may use it"
        )
        found.append(f"'{name}' alone predicts with AUROC {alone:.3f}: {verdict}.")
    return found


def _curves(run: Run) -> list[str]:
    found = []
    losses = run.series("train", "loss")
    if run.epochs and any(value is None for value in losses):
        found.append("The training loss is missing or not finite in at least one epoch.")
    best = run.best_epoch()
    if best and len(run.epochs) > 1 and best[0] == run.epoch_numbers[-1] and run.state == "done":
        found.append("The best epoch is the last one: longer training may help.")
    share = run.waiting_share()
    if share is not None and share > LONG_WAIT:
        found.append(
            f"{share:.0%} of the training time was spent waiting for data: more loader threads or "
            "faster storage would speed the run up."
        )
    return found


def readable(name: str) -> str:
    """Turn a result key into words."""
    special = {"auroc": "AUROC", "ece": "calibration error", "brier": "Brier score", "f1": "F1"}
    if name.endswith("_interval"):
        return f"interval of {readable(name.removesuffix('_interval'))}"
    return special.get(name, name.replace("_", " "))


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"
