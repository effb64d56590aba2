"""Runs that are stopped inside an epoch and go on, alone or in other numbers; started by name."""

from __future__ import annotations

import json
import multiprocessing
import time
from pathlib import Path

import toy
from scenarios import PRELOAD, TIMEOUT_S


def job_of(folder: Path, out: str, world_size: int, strategy: str, **sets):
    from medtrain.config import resolve
    from medtrain.job import Job

    values = toy.SMALL | {"data.batch_size": 2, "model.dropout": 0.2} | sets
    texts = [f"{key}={json.dumps(value)}" for key, value in values.items()]
    return Job(
        config=resolve("classify", sets=texts),
        data=folder / "shards",
        out=folder / out,
        strategy="serial" if world_size == 1 else strategy,
        verbosity=-1,
    )


def work(
    rank: int, world_size: int, folder: Path, out: str, strategy: str, polls: int, sets: dict
) -> None:
    """Train until polled `polls` times (-1: to the end); note which samples were trained on."""
    from medtrain import run
    from medtrain.data import TrainLoader, Trouble
    from medtrain.distributed import World
    from medtrain.errors import MedprepError
    from medtrain.strategies import SerialStrategy

    seen = (folder / f"{out}-seen-{rank}.jsonl").open("a", encoding="utf-8")
    clock = (folder / f"{out}-clock-{rank}").open("a", encoding="utf-8")
    train_step, epoch_of = SerialStrategy.train_step, TrainLoader.epoch
    epochs = []

    def noted_epoch(self, epoch, start=0):
        epochs.append(epoch)
        return epoch_of(self, epoch, start)

    def noted_step(self, task, model, micro_batches, precision):
        result = train_step(self, task, model, micro_batches, precision)
        rows = [row for batch in micro_batches for row in batch.index.tolist()]
        seen.write(json.dumps({"epoch": epochs[-1], "rows": rows}) + "\n")
        seen.flush()
        return result

    add, take = Trouble.add, Trouble.take

    def noted_add(self, rows):
        if rows:
            clock.write(f"found {time.monotonic()}\n")
        add(self, rows)

    def noted_take(self):
        clock.write(f"settled {time.monotonic()}\n")
        return take(self)

    TrainLoader.epoch, SerialStrategy.train_step = noted_epoch, noted_step
    Trouble.add, Trouble.take = noted_add, noted_take
    meeting = f"file://{folder}/meet-{out}-{world_size}-{polls}"
    world = World(rank, rank, world_size, world_size, "alone")
    try:
        job = job_of(folder, out, world_size, strategy, **sets)
        run.train(job, world, StopAfter(polls), init_method=meeting)
    except MedprepError as error:
        (folder / f"{out}-error-{rank}").write_text(str(error))
    finally:
        TrainLoader.epoch, SerialStrategy.train_step = epoch_of, train_step
        Trouble.add, Trouble.take = add, take
        seen.close()
        clock.close()


class StopAfter:
    """Asks to stop from the n-th time on that it is polled; -1: never."""

    def __init__(self, polls):
        self._left = polls if polls >= 0 else float("inf")

    @property
    def requested(self):
        self._left -= 1
        return 15 if self._left < 0 else 0


def run_world(
    world_size: int, folder: Path, out: str, *, strategy: str = "ddp", polls: int = -1, **sets
) -> None:
    """Run one world of fresh processes; raises when one fails or hangs.

    Beside its record of samples, every rank notes when it found trouble and when all settled it.
    """
    begin = time.monotonic()
    if world_size == 1:
        work(0, 1, folder, out, strategy, polls, sets)
        return
    # One process imports torch and forks the workers before any thread has started.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    processes = [
        context.Process(target=work, args=(rank, world_size, folder, out, strategy, polls, sets))
        for rank in range(world_size)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(max(0.0, begin + TIMEOUT_S - time.monotonic()))
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    assert set(codes) == {0}, f"exit codes by rank: {codes}"
