"""`medtrain serial`, `ddp`, `fsdp` and `pipeline`."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from medtrain.cli.command import Verb
from medtrain.cli.options import common

if TYPE_CHECKING:
    from medtrain.config import Config
    from medtrain.distributed import World
    from medtrain.job import Job
    from medtrain.run import Outcome

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--recipe", help="Settings to start from: glaucoma, classify."),
    click.option("--data", type=click.Path(path_type=Path), required=True, help="Shards to read."),
    click.option(
        "--out",
        type=click.Path(path_type=Path),
        help="Run folder.  [default: runs/<recipe>-<time>]",
    ),
    click.option(
        "--config",
        "config_file",
        type=click.Path(path_type=Path),
        help="YAML file laid over the recipe.",
    ),
    click.option(
        "--set", "sets", multiple=True, metavar="KEY=VALUE", help="One setting; repeatable."
    ),
    click.option("--gpus", type=int, help="GPUs of this machine."),
    click.option("--procs", type=int, help="CPU processes of this machine (gloo)."),
    click.option("--nodes", type=int, default=1, show_default=True, help="Machines."),
    click.option("--threads", type=int, help="CPU threads per process.  [default: cores/procs]"),
    click.option("--precision", help="auto, fp32, bf16 or fp16."),
    click.option("--epochs", type=int, help="Passes over the training split."),
    click.option("--batch-size", type=int, help="Samples of one micro-batch per process."),
    click.option("--accumulate", type=int, help="Micro-batches of one optimizer step."),
    click.option(
        "--on-corrupt",
        type=click.Choice(["fail", "skip"]),
        help="Samples that are not what was once written.  [default: fail]",
    ),
    click.option("--deterministic", is_flag=True, help="Same bits on the same machine."),
    click.option(
        "--resume",
        default="auto",
        show_default=True,
        metavar="auto|never|PATH",
        help="Go on from the run folder's checkpoint, start anew, or go on from another one.",
    ),
)

_SETTINGS = {  # options that are short for a setting
    "threads": "train.threads",
    "precision": "train.precision",
    "epochs": "train.epochs",
    "accumulate": "train.accumulate",
    "batch_size": "data.batch_size",
    "on_corrupt": "data.on_corrupt",
}


def _training_options(command: F) -> F:
    for option in reversed(_OPTIONS):
        command = option(command)
    return common(command)


_SERIAL_EXAMPLE = """\
medtrain serial --recipe glaucoma --data shards/ --epochs 5 --set optim.learning_rate=1e-3"""
_SERIAL_HELP = """\
Train in one process, on the GPU where there is one; --procs 1 keeps to the CPU.
"""
_DDP_EXAMPLE = """\
medtrain ddp --procs 2 --recipe glaucoma --data shards/ --out runs/two
torchrun --nproc-per-node 2 -m medtrain ddp --recipe glaucoma --data shards/ --out runs/two"""
_DDP_HELP = """\
Train data-parallel: every process holds the whole model and reads its own part of each global
batch. Joins a torchrun or multi-task srun job, and otherwise starts its processes itself.
"""
_FSDP_EXAMPLE = """\
medtrain fsdp --procs 2 --recipe glaucoma --data shards/ --out runs/sharded
medtrain fsdp --gpus 2 --recipe glaucoma --data shards/ --set fsdp.activation_checkpointing=true"""
_FSDP_HELP = """\
Train data-parallel with sharded parameters (FSDP2): every process holds a part of the weights,
gradients and optimizer state, and gathers each block when it runs. For models whose state does
not fit on one GPU; the report compares its memory with ddp.
"""
_PIPELINE_EXAMPLE = """\
medtrain pipeline --procs 2 --recipe glaucoma --data shards/ --out runs/staged
medtrain pipeline --gpus 2 --recipe glaucoma --data shards/ --set pipeline.micro_batches=8"""
_PIPELINE_HELP = """\
Train one model cut into consecutive stages, one for each process. Each batch of --batch-size
samples is cut into pipeline.micro_batches, so that the stages work at the same time;
pipeline.schedule=naive shows what happens without.
"""


@click.command(
    cls=Verb, example=_SERIAL_EXAMPLE, help=_SERIAL_HELP, short_help="Train in one process."
)
@_training_options
def serial(**options: Any) -> int:  # noqa: ANN401 (click's parsed options)
    """Train in one process."""
    return _train("serial", **options)


@click.command(
    cls=Verb,
    example=_DDP_EXAMPLE,
    help=_DDP_HELP,
    short_help="Train data-parallel on GPUs or CPU processes.",
)
@_training_options
def ddp(**options: Any) -> int:  # noqa: ANN401 (click's parsed options)
    """Train data-parallel in several processes."""
    return _train("ddp", **options)


@click.command(
    cls=Verb,
    example=_FSDP_EXAMPLE,
    help=_FSDP_HELP,
    short_help="Train data-parallel with sharded parameters.",
)
@_training_options
def fsdp(**options: Any) -> int:  # noqa: ANN401 (click's parsed options)
    """Train with parameters sharded over processes."""
    return _train("fsdp", **options)


@click.command(
    cls=Verb,
    example=_PIPELINE_EXAMPLE,
    help=_PIPELINE_HELP,
    short_help="Train one model cut into stages, one a process.",
)
@_training_options
def pipeline(**options: Any) -> int:  # noqa: ANN401 (click's parsed options)
    """Train a model cut over processes."""
    return _train("pipeline", **options)


def _train(strategy: str, **options: Any) -> int:  # noqa: ANN401 (click's parsed options)
    config = _config(options)  # wrong words are refused before torch is loaded
    world = _world(strategy)
    job = _job(strategy, config, world, options)
    if world.joined == "alone" and strategy != "serial":
        return _launch(job)
    return _work(job, world)


def _config(options: Mapping[str, Any]) -> Config:
    """Recipe, file, --set and flags, laid over one another."""
    from medtrain.config import resolve

    flags = {setting: options[name] for name, setting in _SETTINGS.items()}
    flags["train.deterministic"] = options["deterministic"] or None  # a flag can only switch it on
    return resolve(
        options["recipe"], file=options["config_file"], sets=options["sets"], flags=flags
    )


def _world(strategy: str) -> World:
    """The job to take part in; a serial run takes part in none, whatever a launcher has set."""
    from medtrain.distributed import World, discover

    return World() if strategy == "serial" else discover()


def _job(strategy: str, config: Config, world: World, options: Mapping[str, Any]) -> Job:
    """The job that was asked for, on devices that are there."""
    import torch

    from medtrain.job import Job, resolve_processes
    from medtrain.launch import typed_command

    device, processes = resolve_processes(
        gpus=options["gpus"],
        procs=options["procs"],
        nodes=options["nodes"],
        world=world,
        cuda_devices=torch.cuda.device_count(),
        one=strategy == "serial",
    )
    return Job(
        config=config,
        data=options["data"],
        out=options["out"],
        strategy=strategy,
        device=device,
        processes=processes,
        nodes=options["nodes"],
        resume=options["resume"],
        verbosity=options["verbose"] - options["quiet"],
        json=options["as_json"],
        command=typed_command(),
    )


def _launch(job: Job) -> int:
    """Check here, once, then let the workers do it."""
    import time

    from medtrain.cli.output import print_error
    from medtrain.launch import launch
    from medtrain.run import check, make_run_folder

    check(job)
    job = job.with_out(int(time.time()))
    make_run_folder(job.run)
    ended = launch(job)
    if ended.error is not None and job.json:
        print_error(ended.error, ended.code)
    return ended.code


def _work(job: Job, world: World) -> int:
    """Train in this process."""
    import json

    from medtrain.launch import die_with_parent
    from medtrain.run import train
    from medtrain.stop import StopFlag

    die_with_parent()
    stop = StopFlag()
    stop.install()
    outcome = train(job, world, stop)
    if world.rank == 0:
        text = json.dumps(outcome.result, allow_nan=False) if job.json else _summary(outcome)
        click.echo(text)
        sys.stdout.flush()
    if outcome.signal == 0:
        return 0
    return 130 if outcome.signal == signal.SIGINT else 75


def _summary(outcome: Outcome) -> str:
    result = outcome.result
    if outcome.signal:
        return f"stopped safely in {result['run']}; run the same command again to go on"
    parts = [f"{result['run']}: {result['epochs']} epochs"]
    if result["images_per_s"] is not None:
        parts.append(f"{result['images_per_s']:.1f} img/s")
    for split in ("val", "test"):
        metrics = result[split]
        if metrics is not None:
            named = ((k, metrics.get(k)) for k in ("accuracy", "auroc"))
            shown = " ".join(f"{k} {value:.4f}" for k, value in named if value is not None)
            parts.append(f"{split} {shown}")
    return ", ".join(parts)
