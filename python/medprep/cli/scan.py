"""`medprep scan SRC`: look before you leap."""

from __future__ import annotations

from pathlib import Path

import click

from medprep.cli.command import VerbCommand
from medprep.cli.options import data_options, src_argument, threads_option
from medprep.cli.output import Output, output_options
from medprep.options import DataOptions

HELP = """\
Example: medprep scan downloads/ --out scan/

Say what a collection is: layout, counts, classes, splits, patients, sizes, modes, modalities,
captions, boxes, unreadable files, and what `medprep shard` would make of it.

Headers are read, pixels are not; SRC is left alone. --out writes scan.html (one file with
everything in it), scan.json and plots/*.png. Takes the options of `medprep shard`, so that the
answer is about that run.
"""


@click.command(cls=VerbCommand, help=HELP)
@src_argument
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for scan.html, scan.json and plots.",
)
@data_options
@threads_option
@output_options
@click.pass_context
def scan(
    ctx: click.Context,
    src: Path,
    out: Path | None,
    data: DataOptions,
    threads: int | None,
    output: Output,
) -> None:
    """Explore a collection."""
    from medprep.run import RunOptions
    from medprep.scan import ScanOptions, write_files
    from medprep.scan import scan as look
    from medprep.scan.text import render

    options = ScanOptions(data=data, threads=RunOptions(threads=threads).num_threads)
    found = look(src, options, progress=lambda done: output.detail(f"{done:,} headers read"))
    page = None if out is None else write_files(out, found)
    if page is not None:
        output.say(f"page: {page}")
    summary = found.summary
    output.result(render(summary), {**summary, "html": None if page is None else str(page)})
    unusable = summary["unreadable"]["count"] + summary["refused"]["count"]
    ctx.exit(3 if unusable else 0)
