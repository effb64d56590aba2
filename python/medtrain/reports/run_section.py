"""The part of the page that is about one run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from medtrain.reports import curves, discrimination
from medtrain.reports.cautions import cautions
from medtrain.reports.collect import SPLIT_TITLES, SPLITS, Run
from medtrain.reports.markup import Markup, joined, mebibytes, number, table, tag
from medtrain.reports.measures import (
    Shortcuts,
    best_metrics,
    confusion,
    interval_of,
    interval_words,
    measures,
    section,
    shortcut_table,
    value_name,
    why_no_interval,
)


def run_section(run: Run, shortcuts: Shortcuts | None) -> Markup:
    """Return everything about one run, from its state to its configuration."""
    return joined(
        [
            _key_numbers(run),
            _cautions(run, shortcuts),
            _facts(run),
            measures(run),
            shortcut_table(run, shortcuts),
            _figures("Learning", _learning_figures(run)),
            _discrimination(run),
            _figures(
                "Speed",
                [curves.throughput(run), curves.waiting(run)],
            ),
            _details(run),
        ]
    )


def state_mark(run: Run) -> Markup:
    """Return the run's state as a small coloured word."""
    return tag("span", run.state, class_=f"state {run.state}")


def _key_numbers(run: Run) -> Markup:
    quoted = best_metrics(run)
    if quoted is None:
        return Markup("")
    split, metrics = quoted
    cards = []
    for key in ("auroc", "sensitivity", "specificity", "accuracy"):
        interval = interval_of(metrics, key)
        below = interval_words(interval) if interval else why_no_interval(metrics, key)
        cards.append(
            tag(
                "div",
                tag("div", value_name(metrics, key), class_="card-name"),
                tag("div", number(metrics.get(key)), class_="card-value"),
                tag("div", below, class_="card-note"),
                class_="card",
            )
        )
    counted = f"{SPLIT_TITLES[split].capitalize()} split: {_images(metrics)}. "
    counted += "Below each value its 95% interval."
    return tag(
        "section",
        tag("p", counted, class_="lead"),
        tag("div", *cards, class_="cards"),
    )


def _cautions(run: Run, shortcuts: Shortcuts | None) -> Markup:
    sentences = cautions(run, shortcuts)
    if not sentences:
        return Markup("")
    return tag(
        "aside",
        tag("h2", "Before quoting these numbers"),
        tag("ul", *(tag("li", sentence) for sentence in sentences)),
        class_="cautions",
    )


def _facts(run: Run) -> Markup:
    sizes = [
        f"{SPLIT_TITLES[split]} {size:,}"
        for split in ("train", "val", "test")
        if (size := run.split_size(split)) is not None
    ]
    best = run.best_epoch()
    processes = f"{run.world_size} process{'es' if run.world_size > 1 else ''}"
    threads = f", {run.threads} thread{'s' if run.threads != 1 else ''}" if run.threads else ""
    threads += " each" if threads and run.world_size > 1 else ""
    epochs = f"{len(run.epochs)}" + (f" of {run.planned_epochs}" if run.planned_epochs else "")
    seconds = [s for s in run.series("train", "seconds") if s is not None]
    steady = run.images_per_s()
    facts = [
        ("Recipe", run.recipe),
        ("Model", run.model),
        ("Images", ", ".join(sizes) or None),
        ("Data set digest", tag("code", run.digest) if run.digest else None),
        ("Strategy", run.strategy),
        ("World size", processes + threads),
        ("Precision", run.precision),
        ("Device", run.device),
        ("Batch", _batch(run)),
        ("Batch statistics", run.batch_statistics),
        ("Seed", run.seed),
        ("Epochs", epochs),
        ("Best epoch", f"{best[0]} ({best[1]})" if best else None),
        ("Training time", duration(sum(seconds)) if seconds else None),
        ("Throughput", f"{steady:,.1f} images/s after warm-up" if steady else _no_speed(run)),
        ("Memory", _memory(run)),
        ("Code", _code(run)),
    ]
    return section("The run", fact_list(facts))


def _memory(run: Run) -> Markup | None:
    held = run.held_bytes()
    if held is None:
        return None
    parts = [mebibytes(held), " MiB of weights, gradients and optimizer; peak "]
    most = " in the process that needed most" if run.world_size > 1 else ""
    return joined([*parts, mebibytes(run.memory.get("peak_bytes")), f" MiB{most}"])


def _no_speed(run: Run) -> str | None:
    return "one epoch only, which is warm-up" if len(run.epochs) == 1 else None


def fact_list(facts: Sequence[tuple[str, object]]) -> Markup:
    """Return name and value pairs in columns; what is unknown is said to be."""
    return tag(
        "dl",
        *(
            tag(
                "div",
                tag("dt", name),
                tag(
                    "dd", value if value is not None else tag("span", "not recorded", class_="none")
                ),
            )
            for name, value in facts
        ),
        class_="facts",
    )


def _batch(run: Run) -> str | None:
    if run.batch_size is None:
        return None
    if run.global_batch is None or run.global_batch == run.batch_size:
        return f"{run.batch_size}"
    return f"{run.batch_size} per process, {run.global_batch} per step"


def _code(run: Run) -> Markup | str | None:
    version = run.versions.get("medprep") or run.versions.get("medtrain")
    words = [f"medprep {version}"] if version else []
    if run.commit:
        words.append(f"commit {run.commit[:12]}")
    return ", ".join(words) or None


def _learning_figures(run: Run) -> list[Markup | None]:
    if not run.epochs:
        return []
    return [
        curves.learning_curve(run, "loss", "Loss"),
        curves.learning_curve(run, "auroc", "AUROC"),
        curves.learning_curve(run, "accuracy", "Accuracy"),
        curves.learning_rate(run),
        curves.gradient_norm(run),
    ]


def _figures(title: str, figures: Sequence[Markup | None]) -> Markup:
    drawn = [figure for figure in figures if figure is not None]
    if not drawn:
        if title == "Learning":
            return section(title, tag("p", "No epoch has been recorded yet.", class_="empty"))
        return Markup("")
    return section(title, tag("div", *drawn, class_="figures"))


def _discrimination(run: Run) -> Markup:
    parts: list[Markup] = []
    for split in reversed(SPLITS):
        metrics = run.metrics.get(split)
        if metrics is None:
            continue
        title = f"{SPLIT_TITLES[split]} split"
        curve = None
        if split in run.predictions and run.predictions[split].labels.size:
            curve = discrimination.roc(run.predictions[split], metrics, title)
        drawn = [figure for figure in (curve, discrimination.calibration(metrics)) if figure]
        matrix = confusion(metrics, title)
        if drawn or matrix:
            parts += [
                tag("h3", title.capitalize()),
                tag("div", *drawn, class_="figures") if drawn else Markup(""),
                matrix,
            ]
    return section("Discrimination and calibration", *parts) if parts else Markup("")


def _details(run: Run) -> Markup:
    parts = []
    if run.environment:
        rows = [
            [tag("code", name), _breakable(value)] for name, value in _flat(run.environment).items()
        ]
        body = table(["Entry", "Value"], rows)
        parts.append(tag("details", tag("summary", "Environment"), body, open=""))
    if run.config:
        text = yaml.safe_dump(dict(run.config), sort_keys=False, allow_unicode=True)
        parts.append(tag("details", tag("summary", "Resolved configuration"), tag("pre", text)))
    return section("Environment and configuration", *parts) if parts else Markup("")


def _breakable(value: object) -> Markup:
    return tag("span", value, class_="breakable")


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            words = [str(item) for item in value]
            is_command = name in ("command", "command_line", "argv")
            flat[f"{prefix}{name}"] = (
                shlex.join(words) if is_command else ", ".join(words) or "none"
            )
        else:
            flat[f"{prefix}{name}"] = "not recorded" if value is None else str(value)
    return flat


def _images(metrics: Mapping[str, Any]) -> str:
    n, groups = metrics.get("n"), metrics.get("n_groups")
    images = f"{n:,} image{'' if n == 1 else 's'}" if isinstance(n, int) else "images not counted"
    if isinstance(groups, int):
        images += f" of {groups:,} patient{'' if groups == 1 else 's'}"
    return images


def duration(seconds: float) -> str:
    """Return seconds in the units a person would use."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"
