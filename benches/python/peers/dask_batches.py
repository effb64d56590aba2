"""Dask + OpenCV: batches of files as tasks, one thread per worker, one plain NPZ per batch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from medprep import pipeline
from peers import recipe_of

BATCHES_PER_WORKER = 4  # enough to balance, few enough that scheduling costs nothing


def write_batch(number: int, files: Sequence[str], out: str, spec_json: dict) -> int:
    """The task: one batch in one worker; returns the number of images."""
    from peers import opencv_chain

    run = opencv_chain.make(recipe_of(pipeline.from_json(spec_json))).run
    images = np.stack([run(Path(name).read_bytes()) for name in files])
    np.savez(Path(out) / f"train-{number:05}.npz", images=images, ids=np.array(files))
    return len(images)


def write_data_set(
    files: Sequence[Path], out: Path, spec: pipeline.PipelineSpec, scheduler: str, workers: int
) -> int:
    """Write all batches into OUT with the cluster at that address; returns the images."""
    from distributed import Client

    names = [str(path) for path in files]
    size = max(1, -(-len(names) // (BATCHES_PER_WORKER * workers)))
    batches = [names[at : at + size] for at in range(0, len(names), size)]
    with Client(scheduler, set_as_default=False) as client:
        tasks = [
            client.submit(write_batch, number, batch, str(out), spec.to_json(), pure=False)
            for number, batch in enumerate(batches)
        ]
        return sum(client.gather(tasks))
