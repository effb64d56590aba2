"""`medtrain selftest`: are one process and several the same, here?"""

from __future__ import annotations

import tempfile

import click

from medtrain.cli.command import Verb
from medtrain.cli.lists import STRATEGIES, Words
from medtrain.cli.options import common
from medtrain.errors import UsageError, VerificationError

_EXAMPLE = """\
medtrain selftest --procs 2 --strategies ddp,fsdp"""
_HELP = """\
Train a toy set in one process and in several on this machine, and compare curve, weights, metrics
and predictions.

All see the same global batches, so that only rounding may differ. Ends with 0 when they agree;
else with 4, naming the step, the tensor or the rank that differs.
"""


@click.command(
    cls=Verb, example=_EXAMPLE, help=_HELP, short_help="Compare one process with several, here."
)
@click.option(
    "--strategies", type=Words("ddp,fsdp", among=STRATEGIES[1:]), default="ddp", show_default=True,
    help="Comma-separated: ddp, fsdp, pipeline.",
)  # fmt: skip
@click.option("--procs", type=int, help="CPU processes.  [default: 2 without --gpus]")
@click.option("--gpus", type=int, help="GPUs.")
@click.option("--threads", type=int, default=1, show_default=True, help="CPU threads per process.")
@common
def selftest(
    strategies: tuple[str, ...],
    procs: int | None,
    gpus: int | None,
    threads: int,
    as_json: bool,
    verbose: int,
    quiet: int,
) -> None:
    """Run the self-test."""
    import json
    from dataclasses import asdict
    from pathlib import Path

    from medtrain.child import signals_end_this
    from medtrain.cli.devices import require_gpus
    from medtrain.selftest import render
    from medtrain.selftest import selftest as run

    if procs is not None and gpus is not None:
        raise UsageError("--gpus and --procs exclude each other: --procs is for the CPU")
    count = gpus if gpus is not None else 2 if procs is None else procs
    if count < 2 or threads < 1:
        raise UsageError(
            f"the self-test needs 2 or more processes and a thread each, got {count} and {threads}"
        )
    if gpus is not None:
        require_gpus(gpus)

    def say(line: str) -> None:
        if quiet == 0:
            click.echo(line, err=True)

    with signals_end_this(), _scratch() as folder:
        verdicts = run(
            Path(folder),
            strategies,
            device="cpu" if gpus is None else "cuda",
            processes=count,
            threads=threads,
            say=say,
        )
    text = render(verdicts)
    if as_json:
        say(text)
        rows = [{**asdict(verdict), "ok": verdict.ok} for verdict in verdicts]
        click.echo(json.dumps({"ok": all(verdict.ok for verdict in verdicts), "verdicts": rows}))
    else:
        click.echo(text)
    wrong = [verdict.strategy for verdict in verdicts if not verdict.ok]
    if wrong:
        raise VerificationError(f"{', '.join(wrong)}: not the same as one process (see above)")


def _scratch() -> tempfile.TemporaryDirectory[str]:
    # Workers of a run that was interrupted may still be on their way out of the folder.
    return tempfile.TemporaryDirectory(prefix="medtrain-selftest-", ignore_cleanup_errors=True)
