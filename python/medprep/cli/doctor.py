"""`medprep doctor`: what this machine offers."""

from __future__ import annotations

from pathlib import Path

import click

from medprep.cli.command import VerbCommand
from medprep.cli.output import Output, output_options

HELP = """\
Example: medprep doctor --json

Check this machine: cores, memory, disk of the current folder, shared memory, limits, versions,
extras, GPUs and whether the installed torch has code for them.

Exit code 0 when shards can be made here, 1 when something essential is broken.
"""


@click.command(cls=VerbCommand, help=HELP)
@output_options
@click.pass_context
def doctor(ctx: click.Context, output: Output) -> None:
    """Examine the machine."""
    from medprep.doctor import examine, render

    report = examine(Path.cwd())
    output.result(render(report), report)
    ctx.exit(0 if report["ok"] else 1)
