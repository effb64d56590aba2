"""The scan as one HTML file: facts, cautions, tables and pictures; no scripts, no links."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from medprep.pages import page
from medprep.scan.plots import Plot
from medprep.scan.text import facts, plan_facts


def render_page(summary: dict[str, Any], plots: Sequence[Plot]) -> str:
    """Build the page; the same summary and pictures give the same page."""
    name = Path(summary["src"]).resolve().name
    body = "\n".join(
        (
            f"<h1>{escape(name)}</h1>",
            f'<p class="lead">{summary["images"]:,} images as layout {escape(summary["layout"])}, '
            "headers read, nothing decoded</p>",
            _cards(summary),
            _notes(summary),
            "<h2>What is there</h2>",
            _table(facts(summary)),
            _reasons("Unreadable files", summary["unreadable"]),
            _reasons("Refused paths", summary["refused"]),
            _terms(summary),
            "<h2>What medprep shard would store</h2>",
            _table(plan_facts(summary)),
            *(_figure(plot) for plot in plots),
            "<footer>Made by medprep scan.</footer>",
        )
    )
    return page(f"{name}: scan", body)


def _cards(summary: dict[str, Any]) -> str:
    groups = summary["groups"]
    cards = (
        (f"{summary['images']:,}", "images"),
        (f"{len(summary['classes']):,}", "classes"),
        (f"{groups['groups']:,}" if groups else "none", "groups (patients, lesions, articles)"),
        (f"{summary['unreadable']['count'] + summary['refused']['count']:,}", "unusable files"),
    )
    boxes = (f'<div class="card"><b>{value}</b><span>{what}</span></div>' for value, what in cards)
    return f'<div class="cards">{"".join(boxes)}</div>'


def _notes(summary: dict[str, Any]) -> str:
    notes = list(dict.fromkeys([*summary["notes"], *summary["plan"]["notes"]]))
    if not notes:
        return ""
    lines = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f'<h2>To know</h2><div class="panel"><ul>{lines}</ul></div>'


def _table(rows: Sequence[tuple[str, str]]) -> str:
    lines = (f"<tr><td>{escape(name)}</td><td>{escape(text)}</td></tr>" for name, text in rows)
    return f'<div class="panel"><table class="text">{"".join(lines)}</table></div>'


def _reasons(title: str, found: dict[str, Any]) -> str:
    if not found["count"]:
        return ""
    lines = "".join(
        f"<tr><td>{entry['count']:,}</td><td>{escape(entry['reason'])}</td>"
        f"<td>{escape(', '.join(entry['examples']))}</td></tr>"
        for entry in found["reasons"]
    )
    head = "<tr><th>files</th><th>reason</th><th>such as</th></tr>"
    table = f'<table class="text failures">{head}{lines}</table>'
    return f'<h2>{title}</h2><div class="panel">{table}</div>'


def _terms(summary: dict[str, Any]) -> str:
    captions = summary["captions"]
    if captions is None:
        return ""
    rows = [
        (group, ", ".join(f"{term} {count:,}" for term, count in terms.items()) or "none")
        for group, terms in captions["terms"].items()
    ]
    rows.append(("modality", f"by this rule: {summary['modality_rule']}"))
    return "<h2>Terms in the captions, by whole words</h2>" + _table(rows)


def _figure(plot: Plot) -> str:
    data = base64.b64encode(plot.png).decode()
    title = escape(plot.title)
    return (
        f'<h2>{title}</h2><div class="panel"><img class="plot" alt="{title}" '
        f'src="data:image/png;base64,{data}"></div>'
    )
