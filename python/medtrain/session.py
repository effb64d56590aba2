"""One rank's side of a run: resume, fit, evaluate, save and write what came out."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch

from medtrain import distributed, environment, files, machine, records
from medtrain.assembly import assemble, evaluation_loader
from medtrain.checkpoint import CheckpointStore
from medtrain.dataset import DataSet
from medtrain.evaluation import evaluate
from medtrain.job import Job
from medtrain.journal import Journal
from medtrain.loop import Limits, Parts, fit
from medtrain.progress import Progress
from medtrain.results import write_results
from medtrain.resume import check_same, find_checkpoint
from medtrain.seed import StepRandomness
from medtrain.stop import StopFlag
from medtrain.strategies import STRATEGIES, Strategy
from medtrain.types import Evaluation, JsonObject


class Session:
    """A job in this process. `run` is its folder on rank 0 and None on the others.

    Every method is called on all ranks.
    """

    def __init__(self, job: Job, data: DataSet, device: torch.device, run: Path | None) -> None:
        self._job, self._config, self._data, self._run = job, job.config, data, run
        strategy: Strategy = STRATEGIES[job.strategy](
            device, channels_last=job.config.model.channels_last
        )
        self._parts = assemble(job.config, data, strategy)
        self._journal = Journal(
            run,
            epochs=job.config.train.epochs,
            epoch_samples=len(self._parts.loader),
            log_every=job.config.train.log_every,
            verbosity=job.verbosity,
        )
        self._store = CheckpointStore(job.run)

    def train(self, stop: StopFlag) -> tuple[JsonObject, int]:
        """(the keys of `--json`, 0 or the signal that stopped the run)."""
        at = self._resume()
        self._announce(at)
        if self._job.resume not in ("auto", "never"):
            # Another run's weights are where this one starts: its first best ones.
            self._save(at, True)
        signal = fit(self._loop_parts(stop), at)
        result = self._result(at)
        if signal:
            self._stopped(at, signal)
        else:
            self._finish(at, result)
        self._parts.strategy.close()
        return records.finite(result), signal

    def _loop_parts(self, stop: StopFlag) -> Parts:
        parts, config = self._parts, self._config
        return Parts(
            task=parts.task,
            model=parts.model,
            strategy=parts.strategy,
            precision=parts.precision,
            optimizer=parts.optimizer,
            schedule=parts.schedule,
            loader=parts.loader,
            randomness=StepRandomness(config.seed, parts.strategy.data_rank),
            journal=self._journal,
            stop=stop,
            limits=Limits(
                epochs=config.train.epochs,
                max_norm=config.optim.max_norm,
                monitor=config.train.monitor,
                patience=config.train.patience,
            ),
            validate=partial(self._evaluate, "val", intervals=False),
            save=self._save,
        )

    def _resume(self) -> Progress:
        """Take up the checkpoint that `--resume` means; otherwise start at the beginning."""
        job, parts, store = self._job, self._parts, self._store
        checkpoint = find_checkpoint(job, store, self._journal.say)
        if checkpoint is None:
            if self._run is not None:
                for name in (records.STATUS_NAME, records.FILE_NAME):
                    (self._run / name).unlink(missing_ok=True)
                store.clear()
            return Progress()
        check_same(checkpoint, self._config, self._data)
        state = checkpoint.state
        parts.strategy.load_state(parts.model, parts.optimizer, checkpoint.tensors)
        parts.schedule.load_state(state["schedule"])
        parts.precision.load_state(state["precision"])
        at = Progress.from_json(state["progress"])
        if job.resume != "auto":
            at.best_value, at.best_epoch = None, at.epoch
        if self._run is not None:
            records.rewind(self._run / records.FILE_NAME, at.step)
        self._journal.say(f"resumed from {checkpoint.path}: epoch {at.epoch}, step {at.step}")
        return at

    def _announce(self, at: Progress) -> None:
        distributed.barrier()  # all ranks have looked at the old checkpoints before any is replaced
        if self._run is not None:
            self._config.save(self._run / "config.yaml")
            facts = environment.describe(self._job, self._data, self._parts)
            files.write_json(self._run / "environment.json", records.finite(facts))
            self._journal.event("start", **facts, epoch=at.epoch, step=at.step)
        if self._parts.weights is not None:
            self._journal.say(str(self._parts.weights))

    def _evaluate(self, name: str, *, intervals: bool) -> Evaluation | None:
        split = self._data.splits.get(name)
        if split is None:
            return None
        parts = self._parts
        return evaluate(
            evaluation_loader(self._config, split, parts.strategy),
            task=parts.task,
            model=parts.model,
            strategy=parts.strategy,
            precision=parts.precision,
            intervals=intervals,
        )

    def _save(self, now: Progress, best: bool) -> None:
        tensors = self._parts.strategy.state(self._parts.model, self._parts.optimizer)
        if self._run is not None:
            self._store.save(tensors, self._state(now), best=best)
        distributed.barrier()

    def _state(self, at: Progress) -> JsonObject:
        return {
            "progress": at.to_json(),
            "schedule": self._parts.schedule.state(),
            "precision": self._parts.precision.state(),
            "config": self._config.to_dict(),
            "data": self._data.state(),
            "versions": machine.versions(),
        }

    def _result(self, at: Progress) -> JsonObject:
        strategy = self._parts.strategy
        return {
            "run": str(self._job.run),
            "parameters": self._parts.parameters,
            "epochs": at.epoch,
            "images_per_s": self._journal.images_per_s,
            "best_epoch": at.best_epoch,
            "strategy": strategy.name,
            "world_size": strategy.world_size,
            "device": str(strategy.device),
            "precision": self._parts.precision.name,
            "val": None,
            "test": None,
        }

    def _stopped(self, at: Progress, signal: int) -> None:
        self._journal.event("end", state="stopped", signal=signal, epoch=at.epoch, step=at.step)
        message = f"stopped by signal {signal}; the same command goes on"
        self._journal.status("stopped", at, message)

    def _finish(self, at: Progress, result: JsonObject) -> None:
        """Evaluate the best weights and write the results; fills in `val` and `test`."""
        best = self._store.load_best()
        self._parts.strategy.load_state(self._parts.model, None, best.tensors)
        results = {name: self._evaluate(name, intervals=True) for name in ("val", "test")}
        found = {name: value for name, value in results.items() if value is not None}
        if self._run is not None:
            write_results(self._run, self._data.splits, found)
        for name, value in found.items():
            self._journal.event("evaluation", split=name, checkpoint="best", **value.metrics)
            result[name] = value.metrics
        self._journal.event("end", state="done", **result)
        self._journal.status("done", at, f"best epoch {at.best_epoch}")
