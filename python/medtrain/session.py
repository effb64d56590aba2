"""One rank's side of a run: resume, fit, evaluate, save and write what came out."""

from __future__ import annotations

import traceback
from functools import partial
from pathlib import Path

import numpy as np
import torch

from medtrain import distributed, environment, files, memory, records
from medtrain.assembly import Assembly, assemble, evaluation_loader, strategy_of
from medtrain.boundary import Boundary
from medtrain.checkpoint import CheckpointStore
from medtrain.dataset import DataSet
from medtrain.errors import OutOfMemoryError
from medtrain.evaluation import evaluate
from medtrain.guard import FILE_NAME as BAD_BATCHES
from medtrain.guard import Guard
from medtrain.job import Job
from medtrain.journal import CORRUPT_NAME, Journal
from medtrain.loop import Limits, Parts, fit
from medtrain.progress import Progress, is_higher_better
from medtrain.ranks import describe_ranks
from medtrain.results import write_results
from medtrain.resume import check_same, find_checkpoint
from medtrain.saving import Saver
from medtrain.seed import StepRandomness
from medtrain.stop import StopFlag
from medtrain.strategies.memory import memory_of_ranks
from medtrain.types import Evaluation, JsonObject


class Session:
    """A job in this process. `run` is its folder on rank 0 and None on the others.

    Every method is called on all ranks.
    """

    def __init__(self, job: Job, data: DataSet, device: torch.device, run: Path | None) -> None:
        self._job, self._config, self._data, self._run = job, job.config, data, run
        self._parts = _assemble(job, data, device)
        self._journal = Journal(
            run,
            epochs=job.config.train.epochs,
            epoch_samples=len(self._parts.loader),
            log_every=job.config.train.log_every,
            verbosity=job.verbosity,
        )
        self._store = CheckpointStore(
            job.run,
            keep_last=job.config.checkpoint.keep_last,
            keep_best=job.config.checkpoint.keep_best,
            is_higher_better=is_higher_better(job.config.train.monitor),
        )
        self._saver = Saver(self._parts, self._store, job.config, data)
        self._at = Progress()
        self._stop = StopFlag()
        self._evaluation_was_stopped = False

    def train(self, stop: StopFlag) -> tuple[JsonObject, int]:
        """(the keys of `--json`, 0 or the signal that stopped the run)."""
        self._stop = stop
        at = self._at = self._resume()
        self._announce(at)
        if self._job.resume not in ("auto", "never"):
            # Another run's weights are where this one starts: its first best ones.
            self._saver.save(at, True)
        try:
            signal = fit(self._loop_parts(stop), at)
        except Exception as error:
            if not memory.is_out_of_memory(error):
                raise
            raise self._explain(error) from None
        result = self._result(at)
        signal = signal or self._finish(at, result)
        if signal:
            self._stopped(at, signal)
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
            average=parts.average,
            loader=parts.loader,
            randomness=StepRandomness(config.seed, parts.strategy.rank),
            boundary=Boundary(
                strategy=parts.strategy,
                stop=stop,
                loader=parts.loader,
                journal=self._journal,
                every_steps=config.checkpoint.every_steps,
                every_minutes=config.checkpoint.every_minutes,
                save=self._saver.save,
            ),
            guard=Guard(
                model=parts.model,
                strategy=parts.strategy,
                precision=parts.precision,
                max_bad_steps=config.train.max_bad_steps,
                run=self._run,
                ids=parts.loader.split.ids,
            ),
            journal=self._journal,
            limits=Limits(
                epochs=config.train.epochs,
                max_norm=config.optim.max_norm,
                monitor=config.train.monitor,
                patience=config.train.patience,
                max_steps=config.train.max_steps,
            ),
            agree_statistics=self._saver.agree_statistics,
            validate=partial(self._evaluate, "val", intervals=False),
        )

    def _explain(self, error: Exception) -> OutOfMemoryError:
        """What would have fitted; drops the failed pass first, or there is no room to measure."""
        traceback.clear_frames(error.__traceback__)
        parts, data = self._parts, self._config.data
        few = parts.loader.split.batch(np.arange(min(2, len(parts.loader))))
        return memory.explain(
            error.with_traceback(None),
            batch_size=data.batch_size,
            accumulate=self._config.train.accumulate,
            task=parts.task,
            model=parts.model,
            optimizer=parts.optimizer,
            sample=few.to(parts.strategy.device),
        )

    def _resume(self) -> Progress:
        """Take up the checkpoint that `--resume` means; otherwise start at the beginning."""
        job, store = self._job, self._store
        checkpoint = find_checkpoint(job, store, self._journal.say)
        if checkpoint is None:
            if self._run is not None:
                for name in (records.STATUS_NAME, records.FILE_NAME, CORRUPT_NAME, BAD_BATCHES):
                    (self._run / name).unlink(missing_ok=True)
                store.clear()
            return Progress()
        check_same(checkpoint, self._config, self._data)
        at = self._saver.load(checkpoint)
        if job.resume != "auto":
            at.best_value, at.best_epoch = None, at.epoch
        elif self._run is not None:
            store.finish_save(checkpoint)
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
        self._announce_statistics()
        if self._parts.weights is not None:
            self._journal.say(str(self._parts.weights))
        if self._parts.precision.caution is not None:
            self._journal.say(self._parts.precision.caution)

    def _announce_statistics(self) -> None:
        seen = environment.batch_statistics(self._job, self._parts)
        whole = self._parts.loader.global_batch
        if 0 < seen["images"] < whole:
            self._journal.say(
                f"batch normalisation sees {seen['images']} of the {whole} images of a step at a "
                f"time ({seen['over']})"
            )

    def _evaluate(self, name: str, *, intervals: bool) -> Evaluation | None:
        split = self._data.splits.get(name)
        if split is None or not self._config.train.validate:
            return None
        parts = self._parts
        with parts.average.applied():
            found, left_out = evaluate(
                evaluation_loader(self._config, split, parts.strategy),
                task=parts.task,
                model=parts.model,
                strategy=parts.strategy,
                precision=parts.precision,
                intervals=intervals,
                asked_to_stop=lambda: self._stop.requested,
            )
        self._evaluation_was_stopped = found is None
        if left_out:
            self._journal.corrupt(self._at, name, split.ids(np.array(left_out)).tolist())
        return found

    def _result(self, at: Progress) -> JsonObject:
        parts, strategy = self._parts, self._parts.strategy
        needed = memory_of_ranks(parts.model, parts.optimizer, strategy.device)
        self._journal.event("memory", **needed)
        return {
            "run": str(self._job.run),
            "parameters": self._parts.parameters,
            "epochs": at.epoch,
            "images_per_s": self._journal.images_per_s,
            "best_epoch": at.best_epoch,
            "strategy": strategy.name,
            "world_size": strategy.world_size,
            "device": str(strategy.device),
            "precision": parts.precision.name,
            "memory": {key: value for key, value in needed.items() if key != "ranks"},
            "val": None,
            "test": None,
        }

    def _stopped(self, at: Progress, signal: int) -> None:
        self._journal.event("end", state="stopped", signal=signal, epoch=at.epoch, step=at.step)
        message = f"stopped by signal {signal}; the same command goes on"
        self._journal.status("stopped", at, message)

    def _finish(self, at: Progress, result: JsonObject) -> int:
        """Evaluate the best weights and write the results; fills in `val` and `test`.

        Returns 0, or the signal that stopped it: the resumed run evaluates anew.
        """
        parts = self._parts
        ended_with = parts.strategy.state(parts.model, None).model
        self._journal.event("ranks", ranks=describe_ranks(parts.strategy, ended_with))
        self._saver.finish()
        found = {}
        for name in ("val", "test"):
            value = self._evaluate(name, intervals=True)
            if self._evaluation_was_stopped:
                return parts.strategy.agree(self._stop.requested)
            if value is not None:
                found[name] = value
        if self._run is not None:
            write_results(self._run, self._data.splits, found)
        for name, value in found.items():
            self._journal.event("evaluation", split=name, checkpoint="best", **value.metrics)
            result[name] = value.metrics
        self._journal.event("end", state="done", **result)
        self._journal.status("done", at, f"best epoch {at.best_epoch}")
        return 0


def _assemble(job: Job, data: DataSet, device: torch.device) -> Assembly:
    """The parts of this rank; raises OutOfMemoryError where the model has no room."""
    try:
        strategy = strategy_of(job.strategy, job.config, data, device)
        return assemble(job.config, data, strategy)
    except Exception as error:
        if not memory.is_out_of_memory(error):
            raise
        raise memory.explain_model(error) from None
