"""Which checkpoint a run goes on from, and whether it may: the same data, the same learning."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from medtrain import config as configuration
from medtrain.checkpoint import Checkpoint, CheckpointStore, find, load
from medtrain.config import Config
from medtrain.dataset import DataSet
from medtrain.errors import CheckpointError, ConfigError
from medtrain.job import Job

# What may differ between a run and its resumption: none of it changes what is learned, or (the
# cut of the global batch, the length) it is the user's to change on another machine.
_FREE_ON_RESUME = (
    "recipe",
    "checkpoint.every_minutes",
    "checkpoint.every_steps",
    "checkpoint.keep_best",
    "checkpoint.keep_last",
    "data.batch_size",
    "data.check_rows",
    "data.evaluation_batch_size",
    "data.on_corrupt",
    "ddp.bf16_compression",
    "ddp.bucket_views",
    "ddp.static_graph",
    "fsdp.activation_checkpointing",
    "fsdp.cpu_offload",
    "fsdp.reshard_after_forward",
    "fsdp.sharded_checkpoint",
    "metrics.positive_class",
    "model.channels_last",
    "model.weights",
    "optim.fused",
    "pipeline.cut",
    "pipeline.micro_batches",
    "pipeline.schedule",
    "train.accumulate",
    "train.compile",
    "train.compile_backend",
    "train.deterministic",
    "train.epochs",
    "train.log_every",
    "train.max_bad_steps",
    "train.max_steps",
    "train.monitor",
    "train.patience",
    "train.precision",
    "train.threads",
    "train.validate",
)


def find_checkpoint(
    job: Job, store: CheckpointStore, say: Callable[[str], None]
) -> Checkpoint | None:
    """The checkpoint that `--resume` means; None to start at the beginning."""
    if job.resume == "never" or (job.resume == "auto" and not store.exists()):
        return None
    if job.resume == "auto":
        return store.load_newest(say)
    return load(find(Path(job.resume)))


def check_same(checkpoint: Checkpoint, config: Config, data: DataSet) -> None:
    """Raise CheckpointError on other data, ConfigError on settings that learn something else."""
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
        f"{key} ({then.get(key)} then, {now.get(key)} now)"
        for key in sorted(now.keys() | then.keys())
        if key not in _FREE_ON_RESUME and then.get(key) != now.get(key)
    ]
    if changed:
        raise ConfigError(
            f"{checkpoint.path}: cannot resume with another {', '.join(changed)}",
            hint="use --resume never or another --out",
        )
