"""`medprep subset SRC OUT`: a smaller collection for a first try."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from medprep.cli.command import VerbCommand
from medprep.cli.options import out_argument, src_argument
from medprep.cli.output import Output, output_options
from medprep.sources import LAYOUT_NAMES

HELP = """\
Example: medprep subset pmc-oa/ small/ --n 10000 --seed 1

Choose about N samples of SRC and link them in OUT; nothing is copied.

Splits and classes keep their shares (--balance: equal classes). Patients, lesions and articles are
taken whole, so N is met as closely as that allows. The same SRC, N and seed give the same subset.
OUT is read like any collection: `medprep shard small/ shards/`.
"""


@click.command(cls=VerbCommand, help=HELP)
@src_argument
@out_argument
@click.option("--n", type=int, required=True, help="Samples wanted.")
@click.option("--balance", is_flag=True, help="Equal numbers of each class.")
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed, another part.")
@click.option("--layout", metavar="|".join(LAYOUT_NAMES), help="How SRC is read [auto].")
@click.option("--group-by", metavar="auto|none|COLUMN", help="What is taken whole [auto].")
@click.option("--unlabelled", metavar="NAME", help="This class has no label.")
@output_options
def subset(
    src: Path,
    out: Path,
    n: int,
    balance: bool,
    seed: int,
    layout: str | None,
    group_by: str | None,
    unlabelled: str | None,
    output: Output,
) -> None:
    """Write the subset."""
    from medprep.planning import check_out, source_options
    from medprep.privacy import nameless_errors, withhold
    from medprep.quiet_listing import list_quietly
    from medprep.run import RunOptions
    from medprep.subset import select, write_subset

    check_out(src, out)
    options = source_options(unlabelled, group_by or "auto", RunOptions().num_threads)
    listing = list_quietly(src, layout=layout or "auto", options=options, private=None)
    with nameless_errors(src, private=listing.patients):
        chosen = select(listing.items, n, seed=seed, balance=balance)
        report = write_subset(
            out, listing, chosen, wanted=n, options={"n": n, "seed": seed, "balance": balance}
        )
    for note in listing.notes:
        line = note.line(private=listing.patients)
        output.say(withhold(line) if listing.patients else line)
    groups = "" if report.groups is None else f" of {report.groups:,} groups"
    output.result(
        f"{report.samples:,} of {report.of:,} samples{groups}, linked in {report.out}",
        asdict(report),
    )
