"""`medprep verify OUT`: every byte against the manifest."""

from __future__ import annotations

from pathlib import Path

import click

from medprep.cli.command import VerbCommand
from medprep.cli.options import out_argument, threads_option
from medprep.cli.output import Output, output_options
from medprep.types import JsonObject

HELP = """\
Example: medprep verify shards/

Check every byte of OUT against its manifest; name shard, sample and source file of all damage.
Exit code 0 when sound, 4 when not.
"""
_SHOWN = 20  # lines for people; --json has all


@click.command(cls=VerbCommand, help=HELP)
@out_argument
@threads_option
@output_options
@click.pass_context
def verify(ctx: click.Context, out: Path, threads: int | None, output: Output) -> None:
    """Check a data set."""
    from medprep.cli.progress import Progress
    from medprep.errors import VerificationError
    from medprep.manifest import load
    from medprep.run import available_cores
    from medprep.verify import verify as verify_all

    total = load(out).samples
    progress = Progress(enabled=output.verbosity >= 0).begin(total)
    report = verify_all(out, threads=threads or available_cores(), progress=progress)
    progress.close()
    for error in report.errors[:_SHOWN]:
        output.warn(_line(error))
    if len(report.errors) > _SHOWN:
        output.warn(f"... and {len(report.errors) - _SHOWN} more")
    verdict = "sound" if report.is_ok else f"DAMAGED: {len(report.errors)} errors"
    output.result(
        f"{verdict}, {report.images} images in {report.shards} shards, "
        f"{report.checked_bytes} bytes checked, {out}",
        report.to_json(),
    )
    ctx.exit(0 if report.is_ok else VerificationError.exit_code)


def _line(error: JsonObject) -> str:
    where = [str(error["shard"])]
    if "row" in error:
        where.append(f"row {error['row']}")
    where += [str(error[key]) for key in ("id", "path") if key in error]
    return f"{', '.join(dict.fromkeys(where))}: {error['message']}"
