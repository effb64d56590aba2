"""`medtrain evaluate`."""

from __future__ import annotations

from pathlib import Path

import click

from medtrain.cli.command import Verb
from medtrain.cli.options import common

_SHOWN = ("n", "loss", "accuracy", "auroc", "sensitivity", "specificity", "f1")


_EXAMPLE = """\
medtrain evaluate runs/first --split test --json"""
_HELP = """\
Measure a trained run on its own data or on other shards. `loss` is the mean cross-entropy
without class weights.
"""


@click.command(cls=Verb, example=_EXAMPLE, help=_HELP, short_help="Measure a trained run.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--split",
    "splits",
    multiple=True,
    default=("val", "test"),
    show_default=True,
    help="Repeatable.",
)
@click.option("--data", type=click.Path(path_type=Path), help="Other shards than the run's own.")
@click.option(
    "--checkpoint",
    type=click.Choice(["best", "last"]),
    default="best",
    show_default=True,
    help="Which weights.",
)
@click.option("--device", type=click.Choice(["cpu", "cuda"]), help="[default: a GPU if there is]")
@common
def evaluate(
    run: Path,
    splits: tuple[str, ...],
    data: Path | None,
    checkpoint: str,
    device: str | None,
    as_json: bool,
    verbose: int,
    quiet: int,
) -> None:
    """Measure a trained run."""
    from medtrain.errors import UsageError
    from medtrain.trained import Trained, result_json

    results = Trained(run, which=checkpoint, device=device).evaluate(data, splits)
    if all(result is None for result in results.values()):
        raise UsageError(f"no labelled samples in {' or '.join(splits)}")
    if as_json:
        click.echo(result_json(results))
        return
    for name, result in results.items():
        if result is None:
            click.echo(f"{name}: no labelled samples")
            continue
        values = (f"{key} {_text(result.metrics.get(key))}" for key in _SHOWN)
        click.echo(f"{name}: {', '.join(values)}")


def _text(value: object) -> str:
    if value is None:
        return "undefined"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
