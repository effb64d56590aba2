"""`medtrain predict`."""

from __future__ import annotations

from pathlib import Path

import click

from medtrain.cli.command import Verb
from medtrain.cli.options import common

_EXAMPLE = """\
medtrain predict runs/first eye.jpg other.png --json"""
_HELP = """\
Predict raw images, prepared exactly as the run's training images were.
"""


@click.command(cls=Verb, example=_EXAMPLE, help=_HELP, short_help="Predict raw images.")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=32,
    show_default=True,
    help="Images of one forward pass.",
)
@click.option("--device", type=click.Choice(["cpu", "cuda"]), help="[default: a GPU if there is]")
@common
def predict(
    run: Path,
    images: tuple[Path, ...],
    batch_size: int,
    device: str | None,
    as_json: bool,
    verbose: int,
    quiet: int,
) -> int:
    """Predict raw images."""
    import json

    from medtrain.trained import Prediction, Trained

    trained = Trained(run, device=device)
    predictions, failed = [], []
    for path, result in zip(
        images, trained.predict_each(images, batch_size=batch_size), strict=True
    ):
        if isinstance(result, Prediction):
            predictions.append(result.to_json())
            if not as_json:
                click.echo(f"{path}: {result.label} ({result.probability:.4f})")
        else:
            failed.append({"path": str(path), "stage": result.stage, "reason": result.message})
            click.echo(f"{path}: {result}", err=True)
    if as_json:
        click.echo(json.dumps({"predictions": predictions, "failed": failed}, allow_nan=False))
    return 3 if failed else 0
