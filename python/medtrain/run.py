"""Build everything a run needs, hand it to the loop, and write what came out.

This module builds and never loops; `loop` loops and never builds.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from medprep import manifest as manifest_file
from medprep.manifest import Manifest
from medtrain import config as configuration
from medtrain import distributed, files, machine, records
from medtrain.checkpoint import Checkpoint, CheckpointStore, find, load
from medtrain.config import Config
from medtrain.data import Augment, EvaluationLoader, Inputs, Normalise, Split, TrainLoader
from medtrain.distributed import World
from medtrain.errors import CheckpointError, ConfigError, StorageError, UsageError
from medtrain.evaluation import evaluate
from medtrain.job import Job
from medtrain.journal import Journal
from medtrain.loop import Limits, Parts, fit
from medtrain.metrics import positive_class
from medtrain.models import build_model, count_parameters
from medtrain.optim import Schedule, build_optimizer
from medtrain.precision import Precision, build_precision
from medtrain.progress import Progress
from medtrain.seed import StepRandomness, seed_weights
from medtrain.stop import StopFlag
from medtrain.strategies import STRATEGIES, Strategy
from medtrain.tasks.classify import Classify, equal_weights, inverse_frequency
from medtrain.types import Evaluation, JsonObject

# What may differ between a run and its resumption: none of it changes what is learned, or (the
# cut of the global batch, the length) it is the user's to change on another machine.
_FREE_ON_RESUME = (
    "recipe",
    "data.batch_size",
    "data.evaluation_batch_size",
    "metrics.positive_class",
    "model.channels_last",
    "model.weights",
    "train.accumulate",
    "train.deterministic",
    "train.epochs",
    "train.log_every",
    "train.monitor",
    "train.patience",
    "train.precision",
    "train.threads",
)
_CLASS_WEIGHTS = {"inverse": inverse_frequency, "none": equal_weights}


@dataclass(frozen=True, slots=True)
class Outcome:
    """result: the keys of `--json`; signal: 0, or the signal that stopped the run."""

    result: JsonObject
    signal: int


@dataclass(frozen=True, slots=True)
class DataSet:
    """The labelled splits of a data set; only those with samples."""

    path: Path
    manifest: Manifest
    splits: Mapping[str, Split]


def open_data(path: Path) -> DataSet:
    """Open the splits; raises UsageError when there is none, VerificationError when damaged."""
    manifest = manifest_file.load(path)
    splits = {name: Split(path, name) for name in manifest.splits}
    return DataSet(path, manifest, {name: split for name, split in splits.items() if len(split)})


def check(job: Job) -> DataSet:
    """Refuse what cannot be trained, before any process is started."""
    data = open_data(job.data)
    if "train" not in data.splits:
        raise UsageError(f"{job.data}: no labelled samples in the split 'train'")
    counts = data.splits["train"].class_counts(len(data.manifest.classes))
    present = [name for name, n in zip(data.manifest.classes, counts, strict=True) if n]
    if len(present) < 2:
        raise UsageError(
            f"{job.data}: one class only ({', '.join(present)}) in the split 'train'; "
            "a classifier needs two"
        )
    positive_class(data.manifest.classes, job.config.metrics.positive_class)
    if data.manifest.image.dtype != "uint8":
        raise UsageError(
            f"{job.data}: images are {data.manifest.image.dtype}; this version trains on uint8"
        )
    if job.resume not in ("auto", "never"):
        find(Path(job.resume))
    return data


def train(job: Job, world: World, stop: StopFlag, *, init_method: str | None = None) -> Outcome:
    """Run the job in this process, one of `world`; returns the same outcome on every rank.

    init_method: how several processes meet (see `distributed.initialise`). Raises MedprepError
    for what a user can mend.
    """
    data = check(job)
    device = _prepare_process(job, world)
    if job.strategy != "serial":
        distributed.initialise(world, device, init_method)
    # Ranks read their clocks at different moments; all take the latest.
    job = job.with_out(distributed.max_over_ranks(int(time.time())))
    run = job.run if world.rank == 0 else None
    if run is not None:
        make_run_folder(run)
    try:
        return _train(job, data, device, run, stop)
    except BaseException as error:
        # What was done or stopped before is so still: this job was refused before it began.
        if run is not None and records.read_status(run).get("state") not in ("done", "stopped"):
            message = f"{type(error).__name__}: {error}"
            status = {"epoch": 0, "epochs": job.config.train.epochs} | _counts(run)
            records.write_status(run, "failed", **status, message=message)
        distributed.shutdown()
        raise


def make_run_folder(run: Path) -> None:
    """Make RUN; raises StorageError where that cannot be."""
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"--out {run}: cannot make the run folder: {error.strerror}", path=str(run)
        ) from None


def build_inputs(config: Config, manifest: Manifest) -> Inputs:
    """The way from stored images to the model's input."""
    return Inputs(
        Normalise(manifest.channel_mean, manifest.channel_std),
        Augment(config.augment),
        channels_last=config.model.channels_last,
    )


def dataset_state(data: DataSet) -> JsonObject:
    """What a checkpoint says about its data; enough to prepare a raw image the same way."""
    whole = data.manifest.to_json()
    names = ("digest", "classes", "pipeline", "fingerprint", "image", "channel_mean", "channel_std")
    return {name: whole[name] for name in names} | {"path": str(data.path.resolve())}


def write_results(run: Path, data: DataSet, evaluations: Mapping[str, Evaluation]) -> None:
    """RUN/metrics.json and predictions-<split>.npz."""
    metrics = {name: result.metrics for name, result in evaluations.items()}
    files.write_json(run / "metrics.json", records.finite(metrics))
    for name, result in evaluations.items():
        rows, split = result.rows, data.splits[name]
        columns: dict[str, Any] = {
            "ids": split.ids(rows["index"]),
            "labels": rows["labels"],
            "logits": rows["logits"],
        }
        groups = split.groups(rows["index"])
        if groups is not None:
            columns["groups"] = groups
        path = run / f"predictions-{name}.npz"
        temporary = files.temporary_sibling(path)
        with temporary.open("wb") as stream:
            np.savez(stream, allow_pickle=False, **columns)
        files.sync(temporary)
        temporary.replace(path)


def _prepare_process(job: Job, world: World) -> torch.device:
    """Threads, device and determinism of this process."""
    torch.set_num_threads(job.threads(world, machine.usable_cores()))
    device = torch.device("cpu")
    if job.device == "cuda":
        device = torch.device("cuda", world.local_rank)
        torch.cuda.set_device(device)
        torch.backends.cudnn.benchmark = not job.config.train.deterministic
    if job.config.train.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    return device


def _train(
    job: Job, data: DataSet, device: torch.device, run: Path | None, stop: StopFlag
) -> Outcome:
    config = job.config
    strategy: Strategy = STRATEGIES[job.strategy](device, channels_last=config.model.channels_last)
    precision = build_precision(config.train.precision, device)
    model, parameters, weights = _build_model(config, data.manifest, strategy)
    task = _build_task(config, data, device)
    optimizer = build_optimizer(config.optim, model)
    loader = _train_loader(config, data, strategy)
    schedule = Schedule(config.optim, optimizer, loader.steps * config.train.epochs)
    journal = Journal(
        run,
        epochs=config.train.epochs,
        epoch_samples=len(loader),
        log_every=config.train.log_every,
        verbosity=job.verbosity,
    )
    store = CheckpointStore(job.run)
    at = _resume(job, data, store, strategy, model, optimizer, schedule, precision, journal)
    distributed.barrier()  # all ranks have looked at the old checkpoints before any is replaced
    if run is not None:
        config.save(run / "config.yaml")
        environment = _environment(job, data, strategy, precision, parameters)
        files.write_json(run / "environment.json", records.finite(environment))
        journal.event("start", **environment, epoch=at.epoch, step=at.step)
    if weights is not None:
        journal.say(str(weights))

    def evaluate_split(name: str, *, intervals: bool) -> Evaluation | None:
        split = data.splits.get(name)
        if split is None:
            return None
        return evaluate(
            EvaluationLoader(
                split,
                batch_size=config.data.evaluation_batch_size,
                rank=strategy.data_rank,
                world_size=strategy.data_degree,
                device=device,
            ),
            task=task,
            model=model,
            strategy=strategy,
            precision=precision,
            intervals=intervals,
        )

    def save(now: Progress, best: bool) -> None:
        tensors = strategy.state(model, optimizer)
        if run is not None:
            store.save(tensors, _state(now, config, data, schedule, precision), best=best)
        distributed.barrier()

    if job.resume not in ("auto", "never"):
        # Another run's weights are where this one starts: its first best ones.
        save(at, True)
    signal = fit(
        Parts(
            task=task,
            model=model,
            strategy=strategy,
            precision=precision,
            optimizer=optimizer,
            schedule=schedule,
            loader=loader,
            randomness=StepRandomness(config.seed, strategy.data_rank),
            journal=journal,
            stop=stop,
            limits=Limits(
                epochs=config.train.epochs,
                max_norm=config.optim.max_norm,
                monitor=config.train.monitor,
                patience=config.train.patience,
            ),
            validate=partial(evaluate_split, "val", intervals=False),
            save=save,
        ),
        at,
    )
    result: JsonObject = {
        "run": str(job.run),
        "parameters": parameters,
        "epochs": at.epoch,
        "images_per_s": journal.images_per_s,
        "best_epoch": at.best_epoch,
        "strategy": strategy.name,
        "world_size": strategy.world_size,
        "device": str(device),
        "precision": precision.name,
        "val": None,
        "test": None,
    }
    if signal:
        journal.event("end", state="stopped", signal=signal, epoch=at.epoch, step=at.step)
        journal.status("stopped", at, f"stopped by signal {signal}; the same command goes on")
    else:
        strategy.load_state(model, None, store.load_best().tensors)
        results = {name: evaluate_split(name, intervals=True) for name in ("val", "test")}
        found = {name: value for name, value in results.items() if value is not None}
        if run is not None:
            write_results(run, data, found)
        for name, value in found.items():
            journal.event("evaluation", split=name, checkpoint="best", **value.metrics)
            result[name] = value.metrics
        journal.event("end", state="done", **result)
        journal.status("done", at, f"best epoch {at.best_epoch}")
    strategy.close()
    return Outcome(records.finite(result), signal)


def _build_model(
    config: Config, manifest: Manifest, strategy: Strategy
) -> tuple[nn.Module, int, object]:
    seed_weights(config.seed)
    plain, weights = build_model(
        config.model, num_classes=len(manifest.classes), in_channels=manifest.image.channels
    )
    return strategy.prepare(plain), count_parameters(plain), weights


def _build_task(config: Config, data: DataSet, device: torch.device) -> Classify:
    manifest = data.manifest
    counts = data.splits["train"].class_counts(len(manifest.classes))
    return Classify(
        classes=manifest.classes,
        class_weights=_CLASS_WEIGHTS[config.train.class_weights](counts),
        positive_class=positive_class(manifest.classes, config.metrics.positive_class),
        inputs=build_inputs(config, manifest),
        device=device,
        seed=config.seed,
    )


def _train_loader(config: Config, data: DataSet, strategy: Strategy) -> TrainLoader:
    return TrainLoader(
        data.splits["train"],
        seed=config.seed,
        batch_size=config.data.batch_size,
        accumulate=config.train.accumulate,
        rank=strategy.data_rank,
        world_size=strategy.data_degree,
        augment=config.data.augment,
        device=strategy.device,
    )


def _resume(
    job: Job,
    data: DataSet,
    store: CheckpointStore,
    strategy: Strategy,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: Schedule,
    precision: Precision,
    journal: Journal,
) -> Progress:
    """Take up the checkpoint that `--resume` means; otherwise start at the beginning."""
    checkpoint = _find_checkpoint(job, store, journal)
    if checkpoint is None:
        if strategy.rank == 0:
            for name in (records.STATUS_NAME, records.FILE_NAME):
                (job.run / name).unlink(missing_ok=True)
            store.clear()
        return Progress()
    _check_same(checkpoint, job.config, data)
    state = checkpoint.state
    strategy.load_state(model, optimizer, checkpoint.tensors)
    schedule.load_state(state["schedule"])
    precision.load_state(state["precision"])
    at = Progress.from_json(state["progress"])
    if job.resume != "auto":
        at.best_value, at.best_epoch = None, at.epoch
    if strategy.rank == 0:
        records.rewind(job.run / records.FILE_NAME, at.step)
    journal.say(f"resumed from {checkpoint.path}: epoch {at.epoch}, step {at.step}")
    return at


def _find_checkpoint(job: Job, store: CheckpointStore, journal: Journal) -> Checkpoint | None:
    if job.resume == "never" or (job.resume == "auto" and not store.exists()):
        return None
    if job.resume == "auto":
        return store.load_newest(journal.say)
    return load(find(Path(job.resume)))


def _check_same(checkpoint: Checkpoint, config: Config, data: DataSet) -> None:
    state = checkpoint.state
    if state["data"]["digest"] != data.manifest.digest:
        raise CheckpointError(
            f"{checkpoint.path}: trained on data with digest {state['data']['digest'][:16]}..., "
            f"but {data.path} has {data.manifest.digest[:16]}...",
            hint="give the same data, or start anew with --resume never",
        )
    then = configuration.flatten(configuration.from_dict(state["config"], str(checkpoint.path)))
    now = configuration.flatten(config)
    changed = [
        f"{key} ({then[key]} then, {now[key]} now)"
        for key in now
        if key not in _FREE_ON_RESUME and then[key] != now[key]
    ]
    if changed:
        raise ConfigError(
            f"{checkpoint.path}: cannot resume with another {', '.join(changed)}",
            hint="use --resume never or another --out",
        )


def _state(
    at: Progress, config: Config, data: DataSet, schedule: Schedule, precision: Precision
) -> JsonObject:
    return {
        "progress": at.to_json(),
        "schedule": schedule.state(),
        "precision": precision.state(),
        "config": config.to_dict(),
        "data": dataset_state(data),
        "versions": machine.versions(),
    }


def _environment(
    job: Job, data: DataSet, strategy: Strategy, precision: Precision, parameters: int
) -> JsonObject:
    config = job.config
    return {
        "recipe": config.recipe,
        "strategy": strategy.name,
        "precision": precision.name,
        "device": strategy.device.type,
        "world_size": strategy.world_size,
        "nodes": job.nodes,
        "threads": torch.get_num_threads(),
        "global_batch": config.data.batch_size * config.train.accumulate * strategy.data_degree,
        "parameters": parameters,
        "dataset": {
            "digest": data.manifest.digest,
            "manifest": str((data.path / manifest_file.FILE_NAME).resolve()),
            "samples": {name: len(split) for name, split in data.splits.items()},
        },
        "versions": machine.versions(),
        "machine": machine.describe_machine(),
        "git_commit": machine.git_commit(),
        "command": list(job.command),
    }


def _counts(run: Path) -> dict[str, int]:
    status = records.read_status(run)
    return {key: status[key] for key in ("epoch", "epochs") if isinstance(status.get(key), int)}
