"""What each world of 1, 2 or 3 processes runs; its processes import this file by name.

A run is (strategy, world size). Every world is started once and goes through all scenarios.
"""

from __future__ import annotations

import json
import multiprocessing
import time
from contextlib import nullcontext
from pathlib import Path
from unittest import mock

import toy

LABELS = {"train": [0, 1, 1, 0, 1, 1, 1, 0, 1, 1, 1, 0, 1, 1, 1, 1, 0, 1, 1, 1, 1, 0, 1]}
COUNTS = {"train": 23, "val": 11, "test": 2}  # test: fewer samples than ranks
TIMEOUT_S = 900  # a minute on quiet cores; ends a hang, and no busy machine
# Imported once, in the process that the others are forked from before any thread has started:
# five processes would need 20 s of two cores for it.
PRELOAD = [
    *("torch", "timm", "medtrain.run", "medtrain.data.loader", "medtrain.strategies.ddp"),
    *("medtrain.strategies.fsdp", "medtrain.strategies.pipeline"),
]

SERIAL, DDP2, DDP3 = ("serial", 1), ("ddp", 2), ("ddp", 3)
FSDP2, FSDP3, PIPELINE2, PIPELINE3 = ("fsdp", 2), ("fsdp", 3), ("pipeline", 2), ("pipeline", 3)
EVERY = (SERIAL, DDP2, DDP3, FSDP2, FSDP3, PIPELINE2, PIPELINE3)
TWO = (SERIAL, DDP2, FSDP2, PIPELINE2)

# One global batch of 6 samples, cut differently. 23 samples make a last batch of 5: three data
# ranks share it as 3, 2 and none, and a pipeline of three micro-batches has only two (3 and 2).
BATCH = {"serial": 6, "ddp": {2: 3, 3: 2}, "fsdp": {2: 3, 3: 2}, "pipeline": 6}
MICRO_BATCHES = {"pipeline.micro_batches": 3}

# Batch statistics: the reference is the serial run that normalises the same sub-batches.
SUB_BATCHES = {"model.norm": "batch"}
SERIAL_SUB_BATCHES = {"data.batch_size": 3, "train.accumulate": 2}

# name -> (settings, runs, settings of single runs)
SCENARIOS = {
    "group": ({}, EVERY, {}),
    "frozen": ({"model.norm": "frozen"}, TWO, {}),
    "accumulate": ({"train.accumulate": 3}, EVERY, {}),
    "unweighted": ({"train.class_weights": "none"}, (SERIAL, DDP2, PIPELINE2), {}),
    "adamw": ({"optim.name": "adamw", "optim.learning_rate": 1e-3}, (*TWO, DDP3), {}),
    "batch": (
        SUB_BATCHES,
        TWO,
        {SERIAL: SERIAL_SUB_BATCHES, PIPELINE2: {"pipeline.micro_batches": 2}},
    ),
    # The same on three processes, of which one has no samples in the last batch.
    "batch3": (
        SUB_BATCHES,
        (SERIAL, DDP3),
        {SERIAL: {"data.batch_size": 2, "train.accumulate": 3}},
    ),
    # As "batch"; one sample, which one data rank has, makes loss, gradients and statistics NaN.
    "poisoned": (
        SUB_BATCHES,
        TWO,
        {SERIAL: SERIAL_SUB_BATCHES, PIPELINE2: {"pipeline.micro_batches": 2}},
    ),
    # Evaluated with averaged weights after every epoch, and trained on with the others.
    "averaged": ({"train.ema_decay": 0.9}, TWO, {}),
    "gpipe": ({"pipeline.schedule": "gpipe"}, (PIPELINE2,), {}),
    "naive": ({"pipeline.schedule": "naive", "train.accumulate": 3}, (PIPELINE3,), {}),
    # Two groups of layers for each process; or five on two, as the second source system has them.
    "alternating": (
        {"pipeline.schedule": "alternating", "train.accumulate": 3},
        (PIPELINE2, PIPELINE3),
        {PIPELINE2: {"pipeline.cut": "features.3,features.4,head.2,head.6"}},
    ),
    "ddp_options": ({"ddp.static_graph": True, "ddp.bucket_views": False}, (DDP3,), {}),
    "compressed": ({"ddp.bf16_compression": True}, (DDP2,), {}),
    # Statistics over all ranks: the reference is the plain serial run.
    "synced": (
        {"model.norm": "batch"},
        (SERIAL, DDP2, DDP3, FSDP3),
        {run: {"model.sync_bn": True} for run in (DDP2, DDP3, FSDP3)},
    ),
    "recomputed": (SUB_BATCHES | {"fsdp.activation_checkpointing": True}, (FSDP2,), {}),
    "offloaded": ({"fsdp.cpu_offload": True}, (FSDP2,), {}),
    "bf16": ({"train.precision": "bf16"}, TWO, {}),
    "fp16": ({"train.precision": "fp16"}, TWO, {}),
    # The first epoch only: tracing takes seconds.
    "compiled": (
        {"train.compile": True, "train.compile_backend": "aot_eager", "train.max_steps": 4},
        (DDP2, PIPELINE2),
        {},
    ),
    # No training: the serial run's weights, evaluated in every world.
    "evaluate": ({}, EVERY, {}),
}
RESUMED = {"evaluate": "group-serial-1"}
POISON_ROW = 17  # beyond the rows of the other splits


def job_of(name: str, run: tuple[str, int], folder: Path, **changes):
    from medtrain.config import resolve
    from medtrain.job import Job

    strategy, world_size = run
    settings, _, own = SCENARIOS[name]
    batch = BATCH[strategy]
    sets = toy.EXACT | {"optim.max_norm": 0.5, "data.augment": True} | MICRO_BATCHES
    sets["data.batch_size"] = batch[world_size] if isinstance(batch, dict) else batch
    sets |= settings | own.get(run, {}) | changes
    resume = str(folder / RESUMED[name]) if name in RESUMED else "auto"
    return Job(
        config=resolve("classify", sets=[f"{k}={json.dumps(v)}" for k, v in sets.items()]),
        data=folder / "shards",
        out=folder / f"{name}-{strategy}-{world_size}",
        strategy=strategy,
        resume=resume,
        verbosity=-1,
    )


def work(rank: int, world_size: int, folder: Path) -> None:
    from medtrain import precision, run
    from medtrain.distributed import World
    from medtrain.stop import StopFlag

    world = World(rank, rank, world_size, world_size, "alone")
    # Data ranks scale their share of the loss by their number: from 2^16 on, some overflow at the
    # first step where the serial run just does not. What is compared here is steps that count.
    with mock.patch.object(precision, "_FIRST_SCALE", 2.0**10):
        for name, (_, runs, _) in SCENARIOS.items():
            for strategy, size in runs:
                if size == world_size:
                    meeting = f"file://{folder}/meet-{name}-{strategy}-{size}"
                    job = job_of(name, (strategy, size), folder)
                    with poison() if name == "poisoned" else nullcontext():
                        run.train(job, world, StopFlag(), init_method=meeting)
    if world_size > 1:
        import world_checks

        world_checks.run(world, folder)


def poison():
    """Makes the images of every batch with POISON_ROW undefined."""
    from medtrain.data import Inputs

    whole = Inputs.__call__

    def spoilt(self, batch):
        images = whole(self, batch)
        return images * float("nan") if POISON_ROW in batch.index.tolist() else images

    return mock.patch.object(Inputs, "__call__", spoilt)


def train_on(checkpoint: Path, folder: Path, out: Path) -> None:
    """One more epoch in this process from another run's checkpoint."""
    from dataclasses import replace

    from medtrain import run
    from medtrain.distributed import World
    from medtrain.stop import StopFlag

    job = job_of("group", SERIAL, folder, **{"train.epochs": 3})
    run.train(replace(job, out=out, resume=str(checkpoint)), World(), StopFlag())


def start(world_sizes: tuple[int, ...], folder: Path, target=work) -> None:
    """Run `target` in worlds of fresh processes; raises when one fails or hangs."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    processes = {
        (world_size, rank): context.Process(target=target, args=(rank, world_size, folder))
        for world_size in world_sizes
        for rank in range(world_size)
    }
    for process in processes.values():
        process.start()
    deadline = time.monotonic() + TIMEOUT_S
    for process in processes.values():
        process.join(max(0.0, deadline - time.monotonic()))
    codes = {who: process.exitcode for who, process in processes.items()}
    for process in processes.values():
        process.kill()
    assert set(codes.values()) == {0}, f"exit codes by (world size, rank): {codes}"
