"""The data path at size: many shards, few open files, no growth."""

import re
import resource
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import torch
import toy

from medprep.shards import ShardReader
from medtrain import records, seed
from medtrain.data import Split, TrainLoader
from medtrain.journal import Journal
from medtrain.progress import Progress
from medtrain.types import NO_TOTALS, StepVerdict


def test_memory_does_not_grow_with_the_number_of_batches(repository):
    script = repository / "benches" / "python" / "train_data.py"
    done = subprocess.run(
        [sys.executable, script, "--batches", "2000"],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(p for p in sys.path if p), "PATH": "/usr/bin:/bin"},
    )
    grown = re.search(r"grew by (-?[\d.]+) MiB", done.stdout)
    # the promise is 1 MB in 10,000 batches; the allocator's own steps are about 0.1 MiB
    assert float(grown[1]) < 0.5, done.stdout


def test_more_shards_than_files_may_be_open_are_read(tmp_path):
    shards = toy.make_shards(
        tmp_path / "d", counts={"train": 90}, side=4, shard_samples=2, labels_of={}
    )
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    in_use = len(list(Path("/proc/self/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (in_use + 30, before[1]))
    try:
        reader = ShardReader(shards, "train")
        images, labels = reader.batch(seed.order(0, 0, 90))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert images.shape == (90, 4, 4, 3) and len(labels) == 90


def test_opening_a_labelled_split_opens_no_shard(tmp_path):
    shards = toy.make_shards(tmp_path / "d", side=4)
    split = Split(shards, "train")
    assert len(split) == 23 and split.class_counts(2).sum() == 23
    assert split._reader._open == {}


def test_rows_are_the_labelled_ones_where_some_are_not(tmp_path):
    labels = [0, 1, -1, 1, -1, 0]
    shards = toy.make_shards(tmp_path / "d", counts={"train": 6}, labels_of={"train": labels})
    split = Split(shards, "train")
    assert split.rows.tolist() == [0, 1, 3, 5]
    assert split.class_counts(2).tolist() == [2, 2]


def test_a_sample_looks_the_same_on_any_number_of_ranks(tmp_path):
    shards = toy.make_shards(tmp_path / "d", side=8)
    seen = []
    for world_size in (1, 2, 3):
        found = {}
        for rank in range(world_size):
            loader = TrainLoader(
                Split(shards, "train"),
                seed=3,
                batch_size=6 // world_size,
                accumulate=1,
                rank=rank,
                world_size=world_size,
                augment=True,
                device=torch.device("cpu"),
            )
            for position, batches in loader.epoch(1):
                for batch in batches:
                    for row, draws in zip(batch.index.tolist(), batch.draws.numpy(), strict=True):
                        found[row] = (position, draws.tobytes())
        seen.append(found)
    assert seen[0] == seen[1] == seen[2] and len(seen[0]) == 23
    assert np.unique([draws for _, draws in seen[0].values()]).size == 23


def test_time_waited_for_data_is_counted(tmp_path):
    shards = toy.make_shards(tmp_path / "d", side=8)
    loader = TrainLoader(
        Split(shards, "train"),
        seed=3,
        batch_size=6,
        accumulate=1,
        rank=0,
        world_size=1,
        augment=False,
        device=torch.device("cpu"),
    )
    assert loader.wait_s == 0
    list(loader.epoch(0))
    assert loader.wait_s > 0


def test_time_waited_for_data_is_recorded_for_every_step(tmp_path):
    journal = Journal(tmp_path, epochs=1, epoch_samples=18, log_every=3, verbosity=-1)
    at = Progress()
    journal.begin_epoch(at, wait_s=1.0)
    for position, waited in zip(
        (3, 6, 9, 12, 15, 18), (1.5, 1.5, 1.75, 1.75, 2.0, 4.0), strict=True
    ):
        at.advance(position, NO_TOTALS)
        verdict = StepVerdict(NO_TOTALS, 1.0, is_taken=True, is_bad=False)
        journal.step(at, verdict, learning_rate=0.1, wait_s=waited)
    steps = [event for event in records.read(tmp_path / "records.jsonl")]
    assert [event["step_data_seconds"] for event in steps] == [[0.5, 0, 0.25], [0, 0.25, 2.0]]
    assert [event["data_seconds"] for event in steps] == [0.75, 2.25]


def test_loader_reads_in_one_thread_that_ends_when_an_epoch_is_abandoned(tmp_path):
    """No processes are started, so none can be forked from a process with threads."""
    shards = toy.make_shards(tmp_path / "d", side=8)
    loader = TrainLoader(
        Split(shards, "train"),
        seed=3,
        batch_size=2,
        accumulate=1,
        rank=0,
        world_size=1,
        augment=False,
        device=torch.device("cpu"),
    )
    before = set(threading.enumerate())
    steps = loader.epoch(0)
    next(steps)
    (reader,) = set(threading.enumerate()) - before
    assert reader.name == "medtrain-read-ahead"
    assert not Path(f"/proc/self/task/{reader.native_id}/children").read_text()
    steps.close()
    assert not reader.is_alive()
