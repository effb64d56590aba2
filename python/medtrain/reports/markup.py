"""HTML by functions that escape: text goes in as text, never as markup."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from medtrain.reports.collect import finite


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def escaped(value: object) -> str:
    """Return HTML for any value; Markup passes as it is."""
    return value if isinstance(value, Markup) else html.escape(str(value))


def tag(name: str, *children: object, **attributes: object) -> Markup:
    """Return <name ...>children</name>; `class_` and `data_x` spell class and data-x."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{written}>{''.join(escaped(child) for child in children)}</{name}>")


def joined(parts: Iterable[object], between: str = "") -> Markup:
    """Return the parts as one piece of HTML."""
    return Markup(between.join(escaped(part) for part in parts))


def table(
    head: Sequence[object],
    rows: Iterable[Sequence[object]],
    *,
    numeric: Iterable[int] = (),
    caption: str | None = None,
) -> Markup:
    """Return a table in a box that scrolls sideways rather than widening the page.

    numeric: columns that hold numbers, set flush right.
    """
    right = set(numeric)

    def cells(kind: str, row: Sequence[object]) -> Markup:
        return joined(
            tag(
                "th" if kind == "th" or i == 0 else "td",
                cell,
                class_="number" if i in right else None,
                scope="col" if kind == "th" else ("row" if i == 0 else None),
            )
            for i, cell in enumerate(row)
        )

    body = joined(tag("tr", cells("td", row)) for row in rows)
    return tag(
        "div",
        tag(
            "table",
            tag("caption", caption) if caption else "",
            tag("thead", tag("tr", cells("th", head))),
            tag("tbody", body),
        ),
        class_="table",
    )


def number(value: object, digits: int = 3) -> Markup:
    """Return a number that shows rounded and carries its exact value; an en dash for none."""
    exact = finite(value)
    if exact is None:
        return tag("span", "–", class_="none", title="not defined")
    return tag("data", f"{exact:,.{digits}f}", value=repr(exact))


def whole(value: object) -> Markup:
    """Return a count with thousands separated."""
    return number(value, 0)


def mebibytes(value: object) -> Markup:
    """Return a number of bytes in MiB."""
    exact = finite(value)
    return number(None if exact is None else exact / 2**20, 1)


def rounded(value: float, digits: int = 3) -> str:
    """Return a number to `digits` significant digits without an exponent where it stays short."""
    if value == 0:
        return "0"
    if 1e-4 <= abs(value) < 1e6:
        text = f"{value:.{digits}g}"
        return f"{float(text):,.10g}" if "e" in text else text
    return f"{value:.{digits - 1}e}"
