"""`medprep shard SRC OUT`: the main job."""

from __future__ import annotations

from pathlib import Path

import click

from medprep.cli.command import VerbCommand
from medprep.cli.options import (
    Words,
    data_options,
    out_argument,
    parse_part,
    src_argument,
    threads_option,
)
from medprep.cli.output import Output, output_options
from medprep.engines import ENGINE_NAMES
from medprep.kernels import KERNEL_NAMES
from medprep.options import DataOptions

HELP = """\
Example: medprep shard photos/ shards/ --preset glaucoma --threads 8

Turn the images of SRC into verified shards in OUT.

SRC is a known data set as downloaded (RSNA, SMDG, HAM10000, ...; see docs/datasets.md), a folder
with one folder per class (perhaps below train/val/test), a table with a path and a label column,
arrays, or a folder of images. The same command again goes on where it stopped; another
specification on the same OUT is refused.

\b
medprep shard cxr/ out/ --preset pneumonia --split folder
medprep shard labels.csv out/ --size 320x256 --resize letterbox --private
medprep plan photos/ out/ && medprep shard photos/ out/ --part 0/8    # ... 7/8, then merge
"""


@click.command(cls=VerbCommand, help=HELP)
@src_argument
@out_argument
@data_options
@click.option(
    "--engine", type=click.Choice(ENGINE_NAMES), default="threads", show_default=True,
    help="Who schedules.",
)  # fmt: skip
@click.option(
    "--kernel", type=click.Choice(KERNEL_NAMES), default="rust", show_default=True,
    help="Who computes pixels; python = OpenCV, the reference.",
)  # fmt: skip
@threads_option
@click.option(
    "--scheduler", default="local", show_default=True, metavar="local|ADDRESS|FILE",
    help="Dask scheduler.",
)  # fmt: skip
@click.option(
    "--part", metavar="I/N", type=Words("I/N", parse_part), help="Only shards with index mod N = I."
)
@click.option(
    "--on-error", type=click.Choice(("skip", "fail")), default="skip", show_default=True,
    help="Inputs that fail: record and go on, or end the run.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Say what would be made; write nothing.")
@click.option("--overwrite", is_flag=True, help="Remove an earlier result from OUT first.")
@output_options
@click.pass_context
def shard(
    ctx: click.Context,
    src: Path,
    out: Path,
    data: DataOptions,
    engine: str,
    kernel: str,
    threads: int | None,
    scheduler: str,
    part: tuple[int, int] | None,
    on_error: str,
    dry_run: bool,
    overwrite: bool,
    output: Output,
) -> None:
    """Make shards."""
    from medprep.cli.shard_run import dry_run_shard, run_shard_with_signals
    from medprep.run import RunOptions

    run = RunOptions(
        engine=engine,
        kernel=kernel,
        threads=threads,
        scheduler=scheduler,
        part=part,
        on_error=on_error,
        overwrite=overwrite,
    )
    if dry_run:
        dry_run_shard(src, out, data, run, output)
        return
    report = run_shard_with_signals(src, out, data, run, output)
    output.result(report.summary(), report.to_json())
    ctx.exit(report.exit_code)
