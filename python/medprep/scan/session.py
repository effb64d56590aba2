"""One scan from SRC to summary, and from the summary to files."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medprep.options import DataOptions
from medprep.planning import Planned, is_private, list_for, plan_listing
from medprep.privacy import nameless_errors
from medprep.scan.headers import Header, Unreadable, array_headers, read_headers
from medprep.scan.summary import other_files, summarise
from medprep.sources import Listing
from medprep.storage import make_folder, write_atomically
from medprep.types import SourceItem


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanOptions:
    """How to read SRC: the flags of `medprep shard` that decide what its samples are."""

    data: DataOptions = DataOptions()  # noqa: RUF009 (frozen)
    threads: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What was found.

    summary: JSON-ready; see `summary.summarise`, plus `src`, `other_files` and `plan`, what a
    `shard` with the same flags would do. items, headers: every sample and readable header, for
    the pictures.
    """

    summary: dict[str, Any]
    items: Sequence[SourceItem]
    headers: Sequence[Header]


def scan(
    src: Path,
    options: ScanOptions,
    *,
    progress: Callable[[int], None] = lambda done: None,
) -> Scan:
    """Look at a collection as `medprep shard` would read it; nothing is written or decoded.

    progress: hears how many headers have been read. Raises UsageError, SpecError or NoInputError
    as `shard` would.
    """
    data = options.data
    data.pipeline()  # wrong words are refused before anything is listed
    listing = list_for(src, data, threads=options.threads)
    with nameless_errors(src, private=is_private(listing, data)):
        return _look(src, options, listing, progress)


def _look(
    src: Path, options: ScanOptions, listing: Listing, progress: Callable[[int], None]
) -> Scan:
    data, threads = options.data, options.threads
    # In a folder of its own there is no key, and none is made.
    nowhere = src.absolute().parent / "out"
    planned = plan_listing(src, nowhere, data, _copy(listing), threads=threads, keep_key=False)
    paths = [item.path for item in listing.items]
    headers: list[Header | Unreadable]
    if listing.staged:
        headers = list(array_headers(listing.root, paths))
    else:
        headers = list(read_headers(listing.root, paths, threads=threads, progress=progress))
    private = planned.plan.private
    # Beside a table lies what it does not name; a subset is a part of what lies elsewhere.
    whole = listing.root == src
    left_out, others = other_files(listing, private=private) if whole else (0, {})
    summary = {
        "src": "SRC (private)" if private else str(src),
        **summarise(listing, headers, private=private),
        "left_out": left_out,
        "other_files": others,
        "plan": _what_shard_would_do(planned),
    }
    readable = [header for header in headers if isinstance(header, Header)]
    return Scan(summary=summary, items=listing.items, headers=readable)


def _copy(listing: Listing) -> Listing:
    """Lists of its own: a plan leaves out what it cannot take."""
    return replace(
        listing,
        items=list(listing.items),
        failures=list(listing.failures),
        notes=list(listing.notes),
    )


def _what_shard_would_do(planned: Planned) -> dict[str, Any]:
    plan = planned.plan
    samples = {name: 0 for name in plan.splits}
    for sample in planned.samples:
        samples[sample.split] += 1
    return {
        "layout": plan.layout,
        "private": plan.private,
        "group_by": plan.group_by,
        "split": plan.options["split"],
        "samples": samples,
        "classes": list(plan.classes),
        "image": plan.image.to_json(),
        "pipeline": dict(plan.spec),
        "shards": len(plan.shards),
        "bytes": plan.image.bytes * plan.samples,
        "refused": len(plan.failures),
        "notes": list(planned.notes),
    }


def write_files(out: Path, found: Scan) -> Path:
    """Write scan.json, plots/*.png and scan.html into OUT, the page last; returns the page.

    Raises StorageError when that fails.
    """
    from medprep.scan.page import render_page
    from medprep.scan.plots import draw_plots

    plots = draw_plots(found.summary, found.items, found.headers)
    make_folder(out / "plots")
    text = json.dumps(found.summary, indent=1, ensure_ascii=False) + "\n"
    write_atomically(out / "scan.json", text.encode())
    for plot in plots:
        write_atomically(out / "plots" / f"{plot.name}.png", plot.png)
    page = out / "scan.html"
    write_atomically(page, render_page(found.summary, plots).encode())
    return page
