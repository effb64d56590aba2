"""`medtrain scale`: the scaling study."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from medtrain.cli.command import Verb
from medtrain.cli.options import common
from medtrain.errors import MedprepError, UsageError

if TYPE_CHECKING:
    from medtrain.scaling.measure import Workload

_EXAMPLE = """\
medtrain scale --data shards/ --recipe glaucoma --strategies serial,ddp --procs 1,2 --out study/"""
_HELP = """\
Measure the trainer on more processes and say what was gained.

Every setting runs --repeats times, interleaved, in processes of its own, after a warm-up round;
each against one serial process of the same code, data, precision and threads. Writes scale.html,
scale.md, scale.csv, scale.json, measurements.jsonl and plots/*.svg to --out.
"""


class _List(click.ParamType[object]):
    """Comma-separated words, or whole numbers."""

    def __init__(self, name: str, *, numbers: bool = False) -> None:
        self.name = name
        self._numbers = numbers

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> object:
        """A tuple without repetitions, in the order given."""
        if not isinstance(value, str):
            return value
        words = [word.strip() for word in value.split(",") if word.strip()]
        if not self._numbers:
            return tuple(dict.fromkeys(words))
        if not all(word.isdigit() for word in words):
            raise UsageError(f"expected whole numbers such as {self.name}, got {value!r}")
        return tuple(dict.fromkeys(int(word) for word in words))


_NUMBERS = _List("1,2,4", numbers=True)


@click.command(
    cls=Verb, example=_EXAMPLE, help=_HELP, short_help="Measure how training scales, and why."
)
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Shards to train on.")
@click.option("--recipe", help="Settings to start from: glaucoma, classify.")
@click.option(
    "--config", "config_file", type=click.Path(path_type=Path), help="YAML file over the recipe."
)
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="One setting; repeatable.")
@click.option(
    "--strategies", type=_List("ddp,fsdp"), default="serial,ddp", show_default=True,
    help="Comma-separated; serial is always measured, as the baseline.",
)  # fmt: skip
@click.option("--procs", type=_NUMBERS, help="CPU processes.  [default: 1,2 without --gpus]")
@click.option("--gpus", type=_NUMBERS, help="GPUs, one process each.")
@click.option(
    "--threads", type=_NUMBERS, default="1", show_default=True, help="CPU threads per process."
)
@click.option(
    "--precisions", type=_List("fp32,bf16"), default="fp32", show_default=True,
    help="Comma-separated.",
)  # fmt: skip
@click.option(
    "--batch-sizes", type=_NUMBERS, default="32", show_default=True,
    help="Samples of the serial baseline's batch.",
)  # fmt: skip
@click.option(
    "--scaling", type=_List("strong,weak"), default="strong", show_default=True,
    help="strong: the same global batch; weak: the same batch per process; or both.",
)  # fmt: skip
@click.option(
    "--steps", type=int, default=20, show_default=True, help="Measured optimizer steps of a run."
)
@click.option(
    "--warmup", type=int, default=4, show_default=True, help="Steps before them, not counted."
)
@click.option(
    "--repeats", type=int, default=3, show_default=True, help="Counted rounds; 3 or more to report."
)
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("runs/scale"), show_default=True,
    help="Folder of the study.",
)  # fmt: skip
@common
def scale(**options: Any) -> int:  # noqa: ANN401 (click's parsed options)
    """Run the study."""
    return _scale(**options)


def _scale(
    *,
    data: Path,
    recipe: str | None,
    config_file: Path | None,
    sets: tuple[str, ...],
    strategies: tuple[str, ...],
    procs: tuple[int, ...] | None,
    gpus: tuple[int, ...] | None,
    threads: tuple[int, ...],
    precisions: tuple[str, ...],
    batch_sizes: tuple[int, ...],
    scaling: tuple[str, ...],
    steps: int,
    warmup: int,
    repeats: int,
    out: Path,
    as_json: bool,
    verbose: int,
    quiet: int,
) -> int:
    import json

    from medtrain.config import resolve
    from medtrain.scaling import Grid, StudyOptions, run_study
    from medtrain.scaling.measure import Workload
    from medtrain.scaling.session import write_files

    config = resolve(recipe, file=config_file, sets=sets)  # wrong words are refused at once
    if repeats < 1:
        raise UsageError(f"--repeats must be at least 1, got {repeats}")
    devices = {"cpu": procs if procs or gpus else (1, 2), "cuda": gpus}
    grids = [
        Grid(
            strategies=strategies,
            processes=counts,
            threads=threads,
            precisions=precisions,
            batches=batch_sizes,
            scalings=scaling,
            device=device,
        )
        for device, counts in devices.items()
        if counts
    ]
    work = Workload(
        data=data, recipe=recipe, config=config_file, sets=sets, steps=steps, warmup=warmup
    )
    facts = _facts(data, work, repeats, recipe=config.recipe, model=config.model.name)
    out.mkdir(parents=True, exist_ok=True)

    def say(line: str) -> None:
        if not quiet:
            click.echo(line, err=True)

    options = StudyOptions(work=work, repeats=repeats)
    measurements, left_out = run_study(grids, options, say=say)
    if not measurements:
        raise MedprepError(f"nothing could be measured: {'; '.join(left_out)}")
    report = write_files(out, measurements, facts, left_out)
    for sentence in report["advice"]:
        say(sentence)
    page = out / "scale.html"
    click.echo(json.dumps({**report, "out": str(out)}, allow_nan=False) if as_json else str(page))
    return 0


def _facts(
    data: Path,
    work: Workload,
    repeats: int,
    *,
    recipe: str,
    model: str,
) -> dict[str, Any]:
    """Machine, versions, commit and workload, as the page states them."""
    from medtrain import machine
    from medtrain.dataset import open_data

    return {
        "machine": machine.describe_machine(),
        "versions": machine.versions(),
        "commit": machine.git_commit(),
        "workload": {
            "data": str(data),
            "digest": open_data(data).manifest.digest,
            "recipe": recipe,
            "model": model,
            "sets": list(work.sets),
            "steps": work.steps,
            "warmup": work.warmup,
            "repeats": repeats,
        },
    }
