"""`medprep merge OUT`: the manifest of a run that was done in parts."""

from __future__ import annotations

from pathlib import Path

import click

from medprep.cli.command import VerbCommand
from medprep.cli.options import out_argument
from medprep.cli.output import Output, output_options

HELP = """\
Example: medprep merge shards/

Make samples.jsonl, failures.jsonl and the manifest of OUT after all parts
(`medprep shard SRC OUT --part I/N`) are done. Missing shards are named.
"""


@click.command(cls=VerbCommand, help=HELP)
@out_argument
@output_options
@click.pass_context
def merge(ctx: click.Context, out: Path, output: Output) -> None:
    """Make the manifest."""
    from medprep.run import merge as merge_records

    summary = merge_records(out)
    output.result(
        f"{summary['images']} images in {summary['shards']} shards, {summary['failed']} failed, "
        f"digest {summary['digest'][:16]}, {out}",
        {**summary, "out": str(out)},
    )
    ctx.exit(3 if summary["failed"] else 0)
