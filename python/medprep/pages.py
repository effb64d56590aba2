"""The frame of every page medprep writes: one file, no scripts, no links, readable anywhere."""

from __future__ import annotations

from html import escape

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
figure div { position: relative; }
figure svg { position: absolute; inset: 0; width: 116px; height: 116px; }
figure rect { fill: none; stroke-width: 1.5; vector-effect: non-scaling-stroke; }
figcaption q { display: block; quotes: none; color: var(--ink); }
figcaption { font-size: 11.5px; line-height: 1.35; color: var(--soft); margin-top: 3px;
             overflow-wrap: anywhere; }
figcaption em { font-style: normal; color: var(--accent); }
footer { margin-top: 36px; color: var(--soft); font-size: 13px; }
img.plot { display: block; max-width: 100%; margin: 8px 0; }
@media (max-width: 800px) { .cards { grid-template-columns: repeat(2, 1fr); } }
"""


def page(title: str, body: str) -> str:
    """A whole HTML document; `title` is text, `body` is markup that is escaped already."""
    return "\n".join(
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>",
            body,
            "</main></body></html>\n",
        )
    )
