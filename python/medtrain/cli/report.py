"""`medtrain report`."""

from __future__ import annotations

from pathlib import Path

import click

from medtrain.cli.command import Verb
from medtrain.cli.options import common

_EXAMPLE = """\
medtrain report runs/first runs/second --out report.html"""
_HELP = """\
Write one self-contained HTML page about one run, or comparing several.
"""


@click.command(
    cls=Verb, example=_EXAMPLE, help=_HELP, short_help="Tables, plots and a page about runs."
)
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), help="HTML file.  [default: RUN/report.html]"
)
@click.option(
    "--shortcuts",
    type=click.Path(path_type=Path),
    help="JSON: name of a scalar -> what it predicts by itself, as the shortcut audit gives it.",
)
@common
def report(
    runs: tuple[Path, ...],
    out: Path | None,
    shortcuts: Path | None,
    as_json: bool,
    verbose: int,
    quiet: int,
) -> None:
    """Write the report of one run or several."""
    import json

    from medtrain import reports

    known = None if shortcuts is None else reports.read_shortcuts(shortcuts)
    page = reports.write_html(runs, out or runs[0] / "report.html", shortcuts=known)
    if as_json:
        data = {"out": str(page)} | reports.report_data(runs, shortcuts=known)
        click.echo(json.dumps(data, allow_nan=False))
    else:
        click.echo(str(page))
