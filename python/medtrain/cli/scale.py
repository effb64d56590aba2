"""`medtrain scale`: the scaling study."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from medtrain.cli.command import Verb
from medtrain.cli.lists import STUDIED, Numbers, Words
from medtrain.cli.options import common
from medtrain.config import PRECISIONS
from medtrain.errors import MedprepError, StorageError, UsageError

if TYPE_CHECKING:
    from medtrain.config import Config
    from medtrain.scaling import Grid, Measurement, StudyOptions

_EXAMPLE = """\
medtrain scale --data shards/ --recipe glaucoma --strategies serial,ddp --procs 1,2 --out study/"""
_HELP = """\
Measure the trainer on more processes and say what was gained.

Every setting runs --repeats times, interleaved, in processes of its own, after a warm-up round;
each against one serial process of the same code, data, precision and threads. Writes scale.html,
scale.md, scale.csv, scale.json, measurements.jsonl and plots/*.svg to --out.
"""


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
    "--strategies",
    type=Words("ddp,fsdp", among=STUDIED),
    default="serial,ddp",
    show_default=True,
    help="Comma-separated: serial (always measured, as the baseline), ddp, fsdp, pipeline; to "
    "compare with it pipeline-naive and pipeline-alternating, a model split without micro-batches.",
)
@click.option("--procs", type=Numbers(), help="CPU processes.  [default: 1,2 without --gpus]")
@click.option("--gpus", type=Numbers(), help="GPUs, one process each.")
@click.option(
    "--threads", type=Numbers(), default="1", show_default=True, help="CPU threads per process."
)
@click.option(
    "--precisions",
    type=Words("fp32,bf16", among=PRECISIONS[1:]),
    default="fp32",
    show_default=True,
    help="Comma-separated.",
)
@click.option(
    "--batch-sizes", type=Numbers(), default="32", show_default=True,
    help="Samples of the serial baseline's batch.",
)  # fmt: skip
@click.option(
    "--scaling",
    type=Words("strong,weak", among=("strong", "weak")),
    default="strong",
    show_default=True,
    help="strong: the same global batch; weak: the same batch per process; or both.",
)
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
    import json

    from medtrain.cli.devices import require_gpus
    from medtrain.config import resolve
    from medtrain.scaling.session import write_files

    # Wrong words, and batches that cannot be shared, are refused before torch is loaded.
    config = resolve(options["recipe"], file=options["config_file"], sets=options["sets"])
    study = _study(options)
    grids = _grids(options)
    if options["gpus"]:
        require_gpus(max(options["gpus"]))
    facts = _facts(config, study, largest=max(options["batch_sizes"]))
    out: Path = options["out"]
    _make_folder(out)

    def say(line: str) -> None:
        if not options["quiet"]:
            click.echo(line, err=True)

    measurements, left_out = _measure(grids, study, out, say)
    report = write_files(out, measurements, facts, left_out)
    for sentence in report["advice"]:
        say(sentence)
    result = json.dumps({**report, "out": str(out)}, allow_nan=False)
    click.echo(result if options["as_json"] else str(out / "scale.html"))
    return 0


def _study(options: Mapping[str, Any]) -> StudyOptions:
    """What every setting trains, and how often; raises UsageError for what cannot be measured."""
    from medtrain.scaling import StudyOptions
    from medtrain.scaling.measure import Workload

    repeats = options["repeats"]
    if repeats < 1:
        raise UsageError(f"--repeats must be at least 1, got {repeats}")
    work = Workload(
        data=options["data"],
        recipe=options["recipe"],
        config=options["config_file"],
        sets=options["sets"],
        steps=options["steps"],
        warmup=options["warmup"],
    )
    return StudyOptions(work=work, repeats=repeats)


def _grids(options: Mapping[str, Any]) -> list[Grid]:
    """The settings on each kind of device; raises UsageError where one cannot be."""
    from medtrain.scaling import Grid

    procs, gpus = options["procs"], options["gpus"]
    devices = {"cpu": procs if procs or gpus else (1, 2), "cuda": gpus}
    grids = [
        Grid(
            strategies=options["strategies"],
            processes=counts,
            threads=options["threads"],
            precisions=options["precisions"],
            batches=options["batch_sizes"],
            scalings=options["scaling"],
            device=device,
        )
        for device, counts in devices.items()
        if counts
    ]
    for grid in grids:
        grid.cases()
    return grids


def _measure(
    grids: Sequence[Grid], study: StudyOptions, out: Path, say: Callable[[str], None]
) -> tuple[list[Measurement], list[str]]:
    """All measurements, and why others are missing; raises MedprepError without a baseline."""
    from medtrain.child import signals_end_this
    from medtrain.scaling import run_study

    try:
        with signals_end_this():
            measurements, left_out = run_study(grids, study, say=say)
    except (KeyboardInterrupt, SystemExit):
        click.echo(f"interrupted: nothing was written to {out}", err=True)
        raise
    if not any(found.case.is_baseline for found in measurements):
        raise MedprepError(f"nothing to compare with: {'; '.join(left_out)}")
    return measurements, left_out


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"--out {out}: cannot make the folder: {error.strerror}") from None


def _facts(config: Config, study: StudyOptions, *, largest: int) -> dict[str, Any]:
    """Machine, versions, commit and workload, as the page states them.

    Raises UsageError when the training split is not as large as the `largest` batch.
    """
    from medtrain import machine
    from medtrain.dataset import open_trainable

    work = study.work
    data = open_trainable(work.data, config)
    samples = len(data.splits["train"])
    if samples < largest:
        raise UsageError(
            f"--batch-sizes {largest}: the training split of {work.data} has {samples} samples",
            hint="no step would have that batch; choose a smaller one",
        )
    return {
        "machine": machine.describe_machine(),
        "versions": machine.versions(),
        "commit": machine.git_commit(),
        "workload": {
            "data": str(work.data),
            "digest": data.manifest.digest,
            "recipe": config.recipe,
            "model": config.model.name,
            "sets": list(work.sets),
            "steps": work.measured,
            "warmup": work.total - work.measured,
            "repeats": study.repeats,
        },
    }
