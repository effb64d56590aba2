"""All ranks save together what the training consists of, and take it up again."""

from __future__ import annotations

from pathlib import Path

import torch

from medtrain import distributed, machine
from medtrain import statistics as norm_statistics
from medtrain.assembly import Assembly
from medtrain.checkpoint import (
    AVERAGE,
    AVERAGE_SHARDS,
    RANKS,
    SHARDS,
    Checkpoint,
    CheckpointStore,
)
from medtrain.config import Config
from medtrain.dataset import DataSet
from medtrain.errors import StorageError
from medtrain.progress import Progress
from medtrain.strategies.base import Shards, Tensors, TrainingState
from medtrain.types import JsonObject


class Saver:
    """Checkpoints of one run; every method is called on all ranks, and only rank 0 seals files."""

    def __init__(
        self, parts: Assembly, store: CheckpointStore, config: Config, data: DataSet
    ) -> None:
        self._parts, self._store, self._config, self._data = parts, store, config, data
        self._statistics = self._all_statistics()

    def save(self, at: Progress, best: bool) -> None:
        """Write what the ranks agree on; they themselves go on with their own statistics."""
        parts = self._parts
        own = norm_statistics.copies(self._statistics)
        ranks = norm_statistics.of_all_ranks(parts.strategy, own) if at.position else {}
        self.agree_statistics()
        shards = parts.strategy.shards
        tensors, average = self._write_parts(shards) if shards else self._whole()
        norm_statistics.put_back(self._statistics, own)
        if parts.strategy.rank == 0:
            more = {AVERAGE: average, RANKS: ranks}
            self._store.save(tensors, self._state(at), best=best, more=more)
        distributed.barrier()

    def load(self, saved: Checkpoint) -> Progress:
        """Take up a checkpoint, whichever strategy and number of processes wrote it."""
        parts, state = self._parts, saved.state
        if self._take_average(saved):
            parts.average.restart()
            parts.average.load_state(state["average"])
        self._take(saved, parts.optimizer)
        norm_statistics.take_own(parts.strategy, self._statistics, saved.ranks)
        at = Progress.from_json(state["progress"])
        epochs_done = at.epoch + at.position / len(parts.loader)
        parts.schedule.load_state(state["schedule"], epochs_done=epochs_done)
        parts.precision.load_state(state["precision"])
        return at

    def finish(self) -> None:
        """Take up the best weights; leave `last` and `best` as whole tensors, for any tool."""
        best = self._store.load_best()
        if not self._take_average(best):
            self._take(best, None)
        self._parts.average.restart()
        distributed.barrier()  # all ranks have read what rank 0 replaces
        if self._parts.strategy.rank == 0:
            self._store.consolidate("best")
            self._store.consolidate("last")

    def agree_statistics(self) -> None:
        """Make normalisation statistics the same on all ranks, the averaged ones too."""
        parts = self._parts
        parts.strategy.agree_statistics(parts.model)
        if parts.average.is_kept:
            with parts.average.applied():
                parts.strategy.agree_statistics(parts.model)

    def _all_statistics(self) -> norm_statistics.Statistics:
        """Normalisation statistics of the model and of the averaged one, where they lie."""
        model, average = self._parts.model, self._parts.average
        live = {name: b for name, b in model.named_buffers() if b.is_floating_point()}
        means = average.statistics(model)
        return live | {f"average/{name}": mean for name, mean in means.items()}

    def _whole(self) -> tuple[TrainingState, Tensors]:
        """Model and optimizer, and the averaged weights, gathered."""
        parts = self._parts
        tensors = parts.strategy.state(parts.model, parts.optimizer)
        if not parts.average.is_kept:
            return tensors, {}
        with parts.average.applied():
            return tensors, parts.strategy.state(parts.model, None).model

    def _write_parts(self, shards: Shards) -> tuple[None, Tensors]:
        """The same as files: every rank writes what it holds of them."""
        parts, folder = self._parts, self._store.staging
        names = (SHARDS, AVERAGE_SHARDS) if parts.average.is_kept else (SHARDS,)
        if parts.strategy.rank == 0:
            self._store.begin_staging(*names)
        distributed.barrier()
        if parts.strategy.agree(not _is_there(folder / SHARDS)):
            raise StorageError(
                f"{folder}: not all processes find it, so they cannot save their parts there",
                path=str(folder),
                hint="put --out on storage that all nodes share, or use "
                "--set fsdp.sharded_checkpoint=false",
            )
        shards.save(folder / SHARDS, parts.model, parts.optimizer)
        if parts.average.is_kept:
            with parts.average.applied():
                shards.save(folder / AVERAGE_SHARDS, parts.model, None)
        return None, {}

    def _take_average(self, saved: Checkpoint) -> bool:
        """Load the averaged weights into the model; False where there are none."""
        strategy, model = self._parts.strategy, self._parts.model
        if strategy.shards and saved.average_shards:
            strategy.shards.load(saved.average_shards, model, None)
            return True
        average = saved.average
        if average:
            strategy.load_state(model, None, TrainingState(average, {}))
        return bool(average)

    def _take(self, saved: Checkpoint, optimizer: torch.optim.Optimizer | None) -> None:
        strategy, model = self._parts.strategy, self._parts.model
        if strategy.shards and saved.shards:
            strategy.shards.load(saved.shards, model, optimizer)
        else:
            strategy.load_state(model, optimizer, saved.tensors)

    def _state(self, at: Progress) -> JsonObject:
        return {
            "progress": at.to_json(),
            "schedule": self._parts.schedule.state(),
            "precision": self._parts.precision.state(),
            "average": self._parts.average.state(),
            "random": {"seed": self._config.seed, "drawn_from": "seed, epoch, step and sample"},
            "config": self._config.to_dict(),
            "data": self._data.state(),
            "versions": machine.versions(),
        }


def _is_there(folder: Path) -> bool:
    """Asked of the storage itself: network file systems remember for a while what was not there."""
    try:
        folder.mkdir()
    except FileExistsError:
        return True
    except OSError:
        return False
    folder.rmdir()
    return False
