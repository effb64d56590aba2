"""`medprep inspect OUT`: what is in a data set."""

from __future__ import annotations

from pathlib import Path

import click

from medprep.cli.command import VerbCommand
from medprep.cli.options import out_argument
from medprep.cli.output import Output, output_options
from medprep.errors import StorageError

HELP = """\
Example: medprep inspect shards/ --html sheet.html

Show what is in OUT: splits, classes, counts, sizes, pipeline, digest, failures.

--html writes a contact sheet: one file that holds everything, pictures included, and opens
anywhere. It shows patients' images: share it as you would share them.
"""


@click.command(cls=VerbCommand, help=HELP)
@out_argument
@click.option(
    "--html", type=click.Path(dir_okay=False, path_type=Path), help="Write a contact sheet here."
)
@output_options
def inspect(out: Path, html: Path | None, output: Output) -> None:
    """Summarise a data set."""
    from medprep.inspect import render, summarise

    summary = summarise(out)
    if html is not None:
        from medprep.contact_sheet import render_html

        page = render_html(out, summary)
        try:
            html.write_text(page, encoding="utf-8")
        except OSError as error:
            raise StorageError(f"{html}: cannot write: {error.strerror}") from error
        output.say(f"contact sheet: {html} ({len(page) / 2**20:.1f} MiB)")
    output.result(render(summary), {**summary, "html": None if html is None else str(html)})
