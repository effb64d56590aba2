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
    annotations_text,
    channel_text,
    choose_pictures,
    class_table,
    failures_text,
    origin_text,
    pipeline_text,
)
from medprep.pages import page
from medprep.png import encode_png

THUMBNAIL_SIDE = 150  # the CSS shows 116 px; more keeps them sharp on dense screens
MAX_PICTURES = 240
MAX_DRAWN_BOXES = 100  # of one picture; more hide it
MAX_CAPTION = 120  # characters shown; all of them in the tooltip
PNG_LEVEL = 9

# Okabe and Ito's palette: tells classes apart for colour-blind readers too.
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#999")


def render_html(out: Path, summary: dict[str, Any]) -> str:
    """Build the page for OUT from its summary (see `inspect.summarise`)."""
    per_class = max(4, min(18, MAX_PICTURES // max(1, len(summary["classes"]))))
    pictures = choose_pictures(out, per_class=per_class, side=THUMBNAIL_SIDE)
    name = Path(summary["out"]).resolve().name
    body = "\n".join(
        (
            f"<h1>{escape(name)}</h1>",
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
        )
    )
    return page(f"{name}: contact sheet", body)


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
        *([("Annotated", escape(text))] if (text := annotations_text(summary)) else []),
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
        box_names = (summary["boxes"] or {}).get("classes", [])
        figures = "".join(_figure(picture, box_names) for picture in shown)
        sections.append(
            f"<h3>{escape(name)} <small>{len(shown)} of {total}</small></h3>"
            f'<div class="sheet">{figures}</div>'
        )
    return "\n".join(sections)


def _figure(picture: Picture, box_names: Sequence[str]) -> str:
    data = base64.b64encode(encode_png(picture.pixels, level=PNG_LEVEL)).decode("ascii")
    name = escape(picture.id, quote=True)
    short = escape(picture.id.rsplit("/", 1)[-1])
    return (
        f'<figure title="{name}"><div><img alt="{name}" src="data:image/png;base64,{data}">'
        f"{_boxes(picture, box_names)}</div>"
        f"<figcaption><em>{escape(picture.split)}</em> {short}{_caption(picture)}</figcaption>"
        "</figure>"
    )


def _boxes(picture: Picture, names: Sequence[str]) -> str:
    """Rectangles over the picture in its stored pixels, the class in the tooltip."""
    if picture.boxes is None or not len(picture.boxes):
        return ""
    shapes = []
    for x_min, y_min, x_max, y_max, label in picture.boxes[:MAX_DRAWN_BOXES].tolist():
        colour = _COLOURS[(int(label) + 1) % len(_COLOURS)]  # orange first: seen on black and white
        shapes.append(
            f'<rect x="{x_min:.2f}" y="{y_min:.2f}" width="{x_max - x_min:.2f}" '
            f'height="{y_max - y_min:.2f}" stroke="{colour}">'
            f"<title>{escape(names[int(label)])}</title></rect>"
        )
    height, width = picture.view
    return f'<svg viewBox="0 0 {width} {height}">{"".join(shapes)}</svg>'


def _caption(picture: Picture) -> str:
    if picture.caption is None:
        return ""
    text = " ".join(picture.caption.split())
    short = text if len(text) <= MAX_CAPTION else f"{text[: MAX_CAPTION - 1].rstrip()}…"
    return f'<q title="{escape(text, quote=True)}">{escape(short)}</q>'
