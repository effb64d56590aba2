"""`medprep plan SRC OUT`: decide everything, write the plan, run nothing."""

from __future__ import annotations

from pathlib import Path

import click

from medprep.cli.command import VerbCommand
from medprep.cli.options import data_options, out_argument, src_argument, threads_option
from medprep.cli.output import Output, output_options
from medprep.options import DataOptions

HELP = """\
Example: medprep plan photos/ shards/ --preset glaucoma

List SRC, look at headers where needed, split, and write the plan to OUT.

`medprep shard SRC OUT` makes the plan itself; a plan of its own is for job arrays, where every
part (`--part I/N`) needs the same one.
"""


@click.command(cls=VerbCommand, help=HELP)
@src_argument
@out_argument
@data_options
@threads_option
@click.option("--overwrite", is_flag=True, help="Remove an earlier result from OUT first.")
@output_options
@click.pass_context
def plan(
    ctx: click.Context,
    src: Path,
    out: Path,
    data: DataOptions,
    threads: int | None,
    overwrite: bool,
    output: Output,
) -> None:
    """Write the plan."""
    from medprep.agreement import refuse_difference, refuse_new_images
    from medprep.cli.shard_run import describe, plan_json
    from medprep.plan import has_plan, load_plan
    from medprep.planning import check_out, make_plan
    from medprep.privacy import nameless_errors
    from medprep.run import RunOptions, refuse_foreign, remove_ours, save

    with nameless_errors(src, private=bool(data.private)):
        check_out(src, out)
        if overwrite:
            remove_ours(out)
        if has_plan(out):
            made = load_plan(out)
            refuse_difference(made, data, out)
            refuse_new_images(made, src, out, key_file=data.key_file)
            output.say("the plan is there already; --overwrite plans anew")
        else:
            refuse_foreign(out)
            planned = make_plan(src, out, data, threads=RunOptions(threads=threads).num_threads)
            for note in planned.notes:
                output.say(note)
            save(out, planned, data)
            made = planned.plan
    output.result(f"plan: {describe(made)}, {out}", plan_json(made, out))
    ctx.exit(3 if made.failures else 0)
