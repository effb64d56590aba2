"""The frame of every page: one file with its style inside, no scripts, no links."""

from __future__ import annotations

from importlib import resources

from medtrain.reports.markup import Markup, tag


def document(title: str, body: Markup, *, foot: str) -> str:
    """A whole HTML document around `body`."""
    style = (resources.files("medtrain.reports") / "style.css").read_text(encoding="utf-8")
    head = tag(
        "head",
        Markup('<meta charset="utf-8">'),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Markup('<meta name="color-scheme" content="light dark">'),
        tag("title", f"{title} - medtrain"),
        tag("style", Markup(style)),
    )
    page = tag("html", head, tag("body", tag("main", body, tag("footer", foot))), lang="en")
    return f"<!DOCTYPE html>\n{page}\n"
