"""`RUN/environment.json`: what ran where and on which data, so that numbers can be judged later."""

from __future__ import annotations

import torch

from medtrain import machine
from medtrain.assembly import Assembly
from medtrain.dataset import DataSet
from medtrain.job import Job
from medtrain.types import JsonObject


def describe(job: Job, data: DataSet, parts: Assembly) -> JsonObject:
    """Settings, sizes, versions, machine and command of a run."""
    config, strategy = job.config, parts.strategy
    return {
        "recipe": config.recipe,
        "strategy": strategy.name,
        "strategy_details": strategy.details(),
        "precision": parts.precision.name,
        "device": strategy.device.type,
        "world_size": strategy.world_size,
        "nodes": job.nodes,
        "threads": torch.get_num_threads(),
        "global_batch": parts.loader.global_batch,
        "batch_statistics": batch_statistics(job, parts),
        "parameters": parts.parameters,
        "dataset": {
            "digest": data.manifest.digest,
            "manifest": str(data.manifest_path),
            "samples": {name: len(split) for name, split in data.splits.items()},
        },
        "versions": machine.versions(),
        "machine": machine.describe_machine(),
        "git_commit": machine.git_commit(),
        "command": list(job.command),
    }


def batch_statistics(job: Job, parts: Assembly) -> JsonObject:
    """How many `images` a batch normalisation sees at a time, and what they are (`over`).

    images: of uneven parts the largest; 0 where no layer looks across images.
    """
    config = job.config
    if not parts.takes_batch_statistics:
        norms = {"group": "group normalisation", "frozen": "stored statistics"}
        return {"images": 0, "over": norms.get(config.model.norm, "no batch normalisation")}
    images, over = parts.strategy.batch_statistics(config.data.batch_size)
    if config.train.accumulate > 1:
        over += f", {config.train.accumulate} accumulated"
    return {"images": images, "over": over}
