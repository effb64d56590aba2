"""The contact sheet: one HTML file with everything in it, so that it can be mailed and archived.

No scripts, no links to anywhere, every text escaped, pictures as base64 PNG.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from medprep.inspect import (
    MIB,
    Picture,
    channel_text,
    choose_pictures,
    class_table,
    failures_text,
    origin_text,
    pipeline_text,
)
from medprep.png import encode_png

THUMBNAIL_SIDE = 150  # the CSS shows 116 px; more keeps them sharp on dense screens
MAX_PICTURES = 240
PNG_LEVEL = 9

_STYLE = """
:root { --ink: #1c2430; --soft: #5d6b7c; --line: #dde3ea; --accent: #1f6f8b; --paper: #fff; }
* { box-sizing: border-box; }
body { margin: 0; background: #f3f5f8; color: var(--ink);
       font: 15px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 1200px; margin: 0 auto; padding: 32px 24px 56px; }
h1 { font-size: 26px; margin: 0 0 2px; overflow-wrap: anywhere; }
h2 { font-size: 18px; margin: 34px 0 10px; }
h3 { font-size: 15px; margin: 20px 0 8px; }
h3 small { color: var(--soft); font-weight: normal; }
code { font: 13px/1.4 ui-monospace, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
.lead { color: var(--soft); margin: 0 0 20px; }
.cards { display: grid; grid-template-columns: repeat(4, 1fr); gap: 12px; }
.card { background: var(--paper); border: 1px solid var(--line); border-radius: 8px;
        padding: 12px 16px; }
.card b { display: block; font-size: 23px; line-height: 1.3; }
.card span { color: var(--soft); font-size: 13px; }
.panel { background: var(--paper); border: 1px solid var(--line); border-radius: 8px;
         padding: 6px 16px; overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 7px 10px; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
th { color: var(--soft); font-weight: 600; }
tr:last-child td { border-bottom: 0; }
tr.all td { font-weight: 600; }
table.text td, table.text th { text-align: left; vertical-align: top; }
table.text td:first-child { white-space: nowrap; color: var(--soft); width: 130px; }
table.failures td { overflow-wrap: anywhere; }
.bar { display: flex; height: 12px; border-radius: 6px; overflow: hidden; margin: 4px 0; }
.bar i { display: block; min-width: 2px; }
.sheet { display: grid; grid-template-columns: repeat(auto-fill, 116px); gap: 10px; }
figure { margin: 0; }
figure img { display: block; width: 116px; height: 116px; object-fit: contain;
             background: #0c0f14; border-radius: 6px; }
figcaption { font-size: 11.5px; line-height: 1.35; color: var(--soft); margin-top: 3px;
             overflow-wrap: anywhere; }
figcaption em { font-style: normal; color: var(--accent); }
footer { margin-top: 36px; color: var(--soft); font-size: 13px; }
@media (max-width: 800px) { .cards { grid-template-columns: repeat(2, 1fr); } }
"""
# Okabe and Ito's palette: tells classes apart for colour-blind readers too.
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#999")


def render_html(out: Path, summary: dict[str, Any]) -> str:
    """Build the page for OUT from its summary (see `inspect.summarise`)."""
    per_class = max(4, min(18, MAX_PICTURES // max(1, len(summary["classes"]))))
    pictures = choose_pictures(out, per_class=per_class, side=THUMBNAIL_SIDE)
    name = escape(Path(summary["out"]).resolve().name)
    return "\n".join(
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{name}: contact sheet</title><style>{_STYLE}</style></head><body><main>",
            f"<h1>{name}</h1>",
            f'<p class="lead">{summary["samples"]} images in {len(summary["classes"])} classes, '
            f"digest <code>{escape(summary['digest'])}</code></p>",
            _cards(summary),
            "<h2>Splits and classes</h2>",
            _class_panel(summary),
            "<h2>How it was made</h2>",
            _facts_panel(summary),
            _failures_panel(summary),
            "<h2>Contact sheet</h2>",
            _sheet(summary, pictures),
            "<footer>Made by medprep inspect from stored pixels, after all steps. The pictures are "
            "patients' images: share this page as you would share them.</footer>",
            "</main></body></html>\n",
        )
    )


def _cards(summary: dict[str, Any]) -> str:
    image = summary["image"]
    cards = (
        (f"{summary['samples']:,}", "images"),
        (f"{image['height']} × {image['width']} × {image['channels']}", f"{image['dtype']} each"),
        (f"{summary['shards']:,}", f"shards, {summary['bytes'] / MIB:,.1f} MiB"),
        (f"{summary['failed']:,}", "inputs failed"),
    )
    boxes = (f'<div class="card"><b>{value}</b><span>{what}</span></div>' for value, what in cards)
    return f'<div class="cards">{"".join(boxes)}</div>'


def _class_panel(summary: dict[str, Any]) -> str:
    header, *rows = class_table(summary)
    lines = ["<tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in header) + "<th></th></tr>"]
    for row in rows:
        kind = ' class="all"' if row[0] == "all" and row is rows[-1] else ""
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in row)
        lines.append(f'<tr{kind}>{cells}<td style="width:30%">{_bar(summary, row)}</td></tr>')
    return f'<div class="panel"><table>{"".join(lines)}</table></div>'


def _bar(summary: dict[str, Any], row: Sequence[str]) -> str:
    """Shares of the classes in one row, as a strip of colours."""
    parts = []
    for k, name in enumerate(summary["classes"]):
        colour = _COLOURS[k % len(_COLOURS)]
        count = int(row[k + 1])
        if count:
            title = f"{escape(name, quote=True)}: {count}"
            parts.append(f'<i style="flex:{count};background:{colour}" title="{title}"></i>')
    return f'<div class="bar">{"".join(parts)}</div>'


def _facts_panel(summary: dict[str, Any]) -> str:
    facts = (
        ("Pipeline", escape(pipeline_text(summary["pipeline"]))),
        ("Fingerprint", f"<code>{escape(summary['fingerprint'])}</code>"),
        ("Mean ± std", escape(f"{channel_text(summary)} (grey levels, over train)")),
        ("Origin", escape(origin_text(summary))),
    )
    rows = "".join(f"<tr><td>{name}</td><td>{text}</td></tr>" for name, text in facts)
    return f'<div class="panel"><table class="text">{rows}</table></div>'


def _failures_panel(summary: dict[str, Any]) -> str:
    if not summary["failed"]:
        return ""
    rows = "".join(
        f"<tr><td>{escape(f['stage'])}</td><td><code>{escape(f['path'])}</code></td>"
        f"<td>{escape(f['reason'])}</td></tr>"
        for f in summary["failures"]
    )
    head = "<tr><th>stage</th><th>input</th><th>reason</th></tr>"
    return (
        f"<h2>Failed inputs</h2><p>{escape(failures_text(summary))}</p>"
        f'<div class="panel"><table class="text failures">{head}{rows}</table></div>'
    )


def _sheet(summary: dict[str, Any], pictures: Sequence[Picture]) -> str:
    sections = []
    for name in dict.fromkeys(picture.class_name for picture in pictures):
        shown = [picture for picture in pictures if picture.class_name == name]
        total = sum(split["classes"].get(name, 0) for split in summary["splits"].values())
        total = total or sum(split["unlabelled"] for split in summary["splits"].values())
        figures = "".join(_figure(picture) for picture in shown)
        sections.append(
            f"<h3>{escape(name)} <small>{len(shown)} of {total}</small></h3>"
            f'<div class="sheet">{figures}</div>'
        )
    return "\n".join(sections)


def _figure(picture: Picture) -> str:
    data = base64.b64encode(encode_png(picture.pixels, level=PNG_LEVEL)).decode("ascii")
    name = escape(picture.id, quote=True)
    short = escape(picture.id.rsplit("/", 1)[-1])
    return (
        f'<figure title="{name}"><img alt="{name}" src="data:image/png;base64,{data}">'
        f"<figcaption><em>{escape(picture.split)}</em> {short}</figcaption></figure>"
    )
