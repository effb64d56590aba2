"""The part of the page that sets several runs side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from medtrain.reports import curves, discrimination
from medtrain.reports.collect import MEMORY_PARTS, SPLIT_TITLES, SPLITS, Run
from medtrain.reports.compare import Setting, group_by_setting
from medtrain.reports.markup import Markup, joined, mebibytes, number, table, tag
from medtrain.reports.measures import interval_of, interval_words, section
from medtrain.reports.run_section import state_mark


def comparison_section(runs: Sequence[Run], compared: Mapping[str, Any]) -> Markup:
    """Return the tables and pictures of several runs."""
    split = common_split(runs)
    return joined(
        [
            _differences(compared["differences"], compared["unrecorded"]),
            section("Runs", _overview(runs, split)),
            _auroc(runs, split),
            _curves(group_by_setting(runs)),
            _speedups(compared["speedups"]),
            _memory(compared["memory"]),
            _seeds(compared["seeds"]),
            _config(runs, compared["config_differences"]),
        ]
    )


def common_split(runs: Sequence[Run]) -> str | None:
    """Return test if every run has it, else val if any run has metrics, else None."""
    if all("test" in run.metrics for run in runs):
        return "test"
    return "val" if any("val" in run.metrics for run in runs) else None


def _differences(differences: Sequence[str], unrecorded: Sequence[str]) -> Markup:
    if not differences and not unrecorded:
        return tag(
            "aside",
            tag("p", "Same data set, code, recipe, precision and hardware in all runs."),
            class_="agreement",
        )
    return tag(
        "aside",
        tag("h2", "The runs are not alike" if differences else "Not all is known of the runs"),
        tag("ul", *(tag("li", sentence) for sentence in (*differences, *unrecorded))),
        class_="cautions",
    )


def _overview(runs: Sequence[Run], split: str | None) -> Markup:
    """Return two narrow tables, what ran and what came out: one would need scrolling."""
    ran = [
        [
            run.name,
            state_mark(run),
            run.strategy or "–",
            str(run.world_size),
            run.precision or "–",
            "–" if run.seed is None else str(run.seed),
            _short(run.digest),
            _short(run.commit),
        ]
        for run in runs
    ]
    head = ["Run", "State", "Strategy", "World", "Precision", "Seed", "Data", "Commit"]
    title = SPLIT_TITLES[split] if split else "validation"
    results = [_result(run, run.metrics.get(split, {}) if split else {}) for run in runs]
    result_head = ["Run", f"AUROC, {title}", "95% interval", f"Accuracy, {title}", "Images/s"]
    note = "Images/s: training, all processes together, median without the first epoch (warm-up)."
    return joined(
        [
            table(head, ran, numeric=(3, 5)),
            tag("h3", "Results"),
            table(result_head, results, numeric=(1, 2, 3, 4)),
            tag("p", note, class_="note"),
        ]
    )


def _result(run: Run, metrics: Mapping[str, Any]) -> list[object]:
    interval = interval_of(metrics, "auroc")
    words = interval_words(interval) if interval else "–"
    return [
        run.name,
        number(metrics.get("auroc")),
        words,
        number(metrics.get("accuracy")),
        number(run.images_per_s(), 1),
    ]


def _short(digest: str | None) -> Markup | str:
    return tag("code", digest[:8], class_="short") if digest else "–"


def _auroc(runs: Sequence[Run], split: str | None) -> Markup:
    if split is None:
        return Markup("")
    title = f"AUROC on the {SPLIT_TITLES[split]} split"
    drawn = discrimination.forest([(run.name, run.metrics.get(split, {})) for run in runs], title)
    return (
        section("Discrimination", tag("div", drawn, class_="figures one")) if drawn else Markup("")
    )


def _curves(settings: Sequence[Setting]) -> Markup:
    drawn = [
        curves.overlay(settings, part, name, words)
        for part, name, words in (
            ("val", "loss", ("Validation loss", "loss")),
            ("val", "auroc", ("Validation AUROC", "AUROC")),
            ("train", "loss", ("Training loss", "loss")),
            ("train", "images_per_s", ("Training throughput", "images / s")),
        )
    ]
    found = [figure for figure in drawn if figure is not None]
    return section("Curves", tag("div", *found, class_="figures")) if found else Markup("")


def _speedups(rows: Sequence[Mapping[str, Any]]) -> Markup:
    if not rows:
        return Markup("")
    measured = [row for row in rows if row["refused"] is None]
    refused = [row for row in rows if row["refused"] is not None]
    parts: list[Markup] = []
    if measured:
        head = ["Run", "Baseline", "Images/s", "Speedup", "Processors", "Efficiency", "Scaling"]
        body = [
            [
                row["setting"],
                row["baseline"],
                number(row["images_per_s"], 1),
                joined([number(row["speedup"], 2), "×"]),
                joined([number(row["units"], 0 if row["units"] == int(row["units"]) else 2), "×"]),
                _percent(row["efficiency"]),
                row["scaling"],
            ]
            for row in measured
        ]
        parts.append(table(head, body, numeric=(2, 3, 4, 5)))
        notes = [
            tag("li", tag("strong", row["setting"]), f": {'; '.join(row['notes'])}.")
            for row in measured
            if row["notes"]
        ]
        if notes:
            parts.append(tag("ul", *notes, class_="notes"))
    if refused:
        parts.append(
            tag(
                "ul",
                *(
                    tag("li", tag("strong", row["setting"]), f": no speedup; {row['refused']}.")
                    for row in refused
                ),
                class_="notes",
            )
        )
    if measured:
        parts.append(
            tag(
                "p",
                "Speedup: training images per second against the serial run of the same code, "
                "data, recipe, precision and hardware; waiting for data included, evaluation and "
                "the first epoch left out. Efficiency: speedup "
                "divided by the processors (GPUs, or processes times threads on CPUs) relative to "
                "that run.",
                class_="note",
            )
        )
    return section("Speedup and efficiency", *parts)


def _memory(rows: Sequence[Mapping[str, Any]]) -> Markup:
    if not rows:
        return Markup("")
    head = ["Run", "Strategy", "Parameters", "Gradients", "Optimizer", "Held", "Of DDP's", "Peak"]
    names = [f"{part}_bytes" for part in (*MEMORY_PARTS, "held")]
    body = [
        [
            row["run"],
            row["strategy"] or "–",
            *(mebibytes(row[name]) for name in names),
            "–" if row["of_ddp"] is None else tag("data", f"{row['of_ddp']:.0%}"),
            mebibytes(row["peak_bytes"]),
        ]
        for row in rows
    ]
    note = (
        "MiB of the process that needed most. Held: parameters, gradients and optimizer state. "
        "Peak: on a GPU of all tensors, activations included; on a CPU of the whole process, "
        "Python and torch included."
    )
    return section(
        "Memory of a process",
        table(head, body, numeric=(2, 3, 4, 5, 6, 7)),
        tag("p", note, class_="note"),
    )


def _percent(value: float) -> Markup:
    shown = f"{value:.1%}"
    mark = tag("span", "more than linear", class_="flag") if value > 1 else ""
    return joined([tag("data", shown, value=repr(value)), mark])


def _seeds(summaries: Sequence[Mapping[str, Any]]) -> Markup:
    parts: list[Markup] = []
    for summary in summaries:
        rows, methods = [], []
        for split in SPLITS:
            for name, row in summary["splits"].get(split, {}).items():
                label = "AUROC" if name == "auroc" else "F1" if name == "f1" else name
                if row["method"] not in methods:
                    methods.append(row["method"])
                rows.append(
                    [
                        f"{SPLIT_TITLES[split].capitalize()} {label}",
                        number(row["median"]),
                        joined([number(row["low"]), " to ", number(row["high"])]),
                        str(row["n"]),
                    ]
                )
        if rows:
            seeds = ", ".join(str(seed) for seed in summary["seeds"])
            parts.append(tag("h3", f"{summary['setting']}: {seeds}"))
            parts.append(
                table(["Measure", "Median", "95% interval", "Runs"], rows, numeric=(1, 2, 3))
            )
            parts.append(tag("p", f"Interval: {'; '.join(methods)}.", class_="note"))
    if not parts:
        return Markup("")
    note = (
        "Spread over seeds is the luck of training; it does not contain the uncertainty of a "
        "finite test split, which the intervals of the single runs show."
    )
    return section("Over seeds", *parts, tag("p", note, class_="note"))


def _config(runs: Sequence[Run], rows: Sequence[Mapping[str, Any]]) -> Markup:
    """Return each differing entry with its values, and under which value each run stands."""
    if not rows:
        return Markup("")
    body = []
    for row in rows:
        holders: dict[str, list[str]] = {}
        for run, value in zip(runs, row["values"], strict=True):
            holders.setdefault("not set" if value is None else str(value), []).append(run.name)
        lines = [
            tag("div", tag("strong", value), f": {', '.join(names)}")
            for value, names in holders.items()
        ]
        body.append([tag("code", row["name"]), tag("div", *lines, class_="breakable")])
    head = ["Configuration entry", "Value: runs"]
    return section("Where the configurations differ", table(head, body))
