"""What each world of 1, 2 or 3 processes runs; started with spawn, so importable by name."""

from __future__ import annotations

import json
import multiprocessing
import time
from pathlib import Path

import toy

LABELS = {"train": [0, 1, 1, 0, 1, 1, 1, 0, 1, 1, 1, 0, 1, 1, 1, 1, 0, 1, 1, 1, 1, 0, 1]}
COUNTS = {"train": 23, "val": 11, "test": 2}  # test: fewer samples than ranks
TIMEOUT_S = 240

# Samples of one micro-batch for 1, 2 and 3 processes: the same global batch, cut differently.
# 23 samples make a last batch of 5, which three processes share as 3, 2 and none.
GLOBAL_6 = {1: 6, 2: 3, 3: 2}
SCENARIOS = {
    "group": {"batch": GLOBAL_6, "sets": {}},
    "frozen": {"batch": GLOBAL_6, "sets": {"model.norm": "frozen"}},
    "accumulate": {"batch": GLOBAL_6, "sets": {"train.accumulate": 3}},
    "unweighted": {"batch": GLOBAL_6, "sets": {"train.class_weights": "none"}},
    # Batch statistics: the reference is the serial run that normalises the same sub-batches.
    "batch": {
        "batch": {1: 3, 2: 3},
        "accumulate": {1: 2, 2: 1},
        "sets": {"model.norm": "batch"},
    },
    # No training: the serial run's weights, evaluated in every world.
    "evaluate": {"batch": GLOBAL_6, "sets": {}, "resume": "group"},
}


def job_of(name: str, world_size: int, folder: Path):
    from medtrain.config import resolve
    from medtrain.job import Job

    scenario = SCENARIOS[name]
    sets = toy.EXACT | {"optim.max_norm": 0.5, "data.augment": True} | scenario["sets"]
    sets["data.batch_size"] = scenario["batch"][world_size]
    if "accumulate" in scenario:
        sets["train.accumulate"] = scenario["accumulate"][world_size]
    return Job(
        config=resolve("classify", sets=[f"{k}={json.dumps(v)}" for k, v in sets.items()]),
        data=folder / "shards",
        out=folder / f"{name}-{world_size}",
        strategy="serial" if world_size == 1 else "ddp",
        resume=str(folder / f"{scenario['resume']}-1") if "resume" in scenario else "auto",
        verbosity=-1,
    )


def work(rank: int, world_size: int, folder: Path) -> None:
    from medtrain import run
    from medtrain.distributed import World
    from medtrain.stop import StopFlag

    world = World(rank, rank, world_size, world_size, "alone")
    for name, scenario in SCENARIOS.items():
        if world_size in scenario["batch"]:
            meeting = f"file://{folder}/meet-{name}-{world_size}"
            run.train(job_of(name, world_size, folder), world, StopFlag(), init_method=meeting)


def start(world_sizes: tuple[int, ...], folder: Path) -> None:
    """Run all scenarios in worlds of fresh processes; raises when one fails or hangs."""
    context = multiprocessing.get_context("spawn")
    processes = {
        (world_size, rank): context.Process(target=work, args=(rank, world_size, folder))
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
