"""The study as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medtrain.reports.document import document
from medtrain.reports.markup import Markup, joined, table, tag
from medtrain.scaling.pictures import Pictures
from medtrain.scaling.study import Study
from medtrain.scaling.tables import (
    DEVICE_HEAD,
    HEAD,
    amdahl_text,
    cells,
    device_cells,
    devices_text,
    facts,
    method,
    title_of,
)


def render(found: Study, report: Mapping[str, Any], pictures: Pictures) -> str:
    """Build the page; the same study gives the same page."""
    body = joined(
        [
            tag(
                "header",
                tag("p", "medtrain scale", class_="kicker"),
                tag("h1", "Scaling study"),
                tag("p", report["workload"]["recipe"], class_="subtitle"),
            ),
            _advice(report["advice"]),
            *(_table(found, scaling) for scaling in found.scalings),
            tag("section", tag("p", method(), class_="note")),
            _devices(found),
            _pictures(pictures),
            _amdahl(found),
            _list("Left out", report["left_out"]),
            tag("section", tag("h2", "How it was measured"), _facts(report)),
        ]
    )
    return document("Scaling study", body, foot="Made by medtrain scale.")


def _advice(sentences: list[str]) -> Markup:
    return tag(
        "aside",
        tag("h2", "What the numbers say"),
        tag("ul", *(tag("li", sentence) for sentence in sentences)),
        class_="cautions",
    )


def _table(found: Study, scaling: str) -> Markup:
    rows = [cells(row) for row in found.rows if row.case.scaling == scaling]
    return tag(
        "section",
        tag("h2", title_of(scaling)),
        table(HEAD, rows, numeric=range(1, len(HEAD))),
    )


def _devices(found: Study) -> Markup:
    if not found.devices:
        return Markup("")
    return tag(
        "section",
        tag("h2", "Across devices: no scaling"),
        table(DEVICE_HEAD, [device_cells(row) for row in found.devices], numeric=(1, 2)),
        tag("p", devices_text(found), class_="note"),
    )


def _pictures(pictures: Pictures) -> Markup:
    if not pictures.figures:
        return Markup("")
    return tag("section", tag("h2", "Pictures"), tag("div", *pictures.figures, class_="figures"))


def _amdahl(found: Study) -> Markup:
    return _list("Amdahl's law", [amdahl_text(fit) for fit in found.amdahl])


def _list(title: str, lines: list[str]) -> Markup:
    if not lines:
        return Markup("")
    return tag("section", tag("h2", title), tag("ul", *(tag("li", line) for line in lines)))


def _facts(report: Mapping[str, Any]) -> Markup:
    return table(("", ""), facts(report))
