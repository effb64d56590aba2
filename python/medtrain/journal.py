"""What a run tells: records for programs, a line or a bar for people, status for scripts."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TextIO

from medtrain import files, records
from medtrain.progress import Progress
from medtrain.types import Evaluation, JsonObject, StepVerdict

CORRUPT_NAME = "corrupt.json"
_LINE_EVERY_S = 30.0
_BAR_EVERY_S = 0.2
_BAR_WIDTH = 24


class Journal:
    """Records steps and epochs with honest clocks. Ranks other than 0 get `run` None.

    images_per_s counts all ranks' images over wall-clock time, waiting for data included,
    evaluation and saving excluded.
    """

    def __init__(
        self,
        run: Path | None,
        *,
        epochs: int,
        epoch_samples: int,
        log_every: int,
        verbosity: int = 0,
        stream: TextIO | None = None,
    ) -> None:
        self._run = run
        self._records = records.Recorder(None if run is None else run / records.FILE_NAME)
        self._epochs = epochs
        self._epoch_samples = epoch_samples
        self._log_every = log_every
        self._console = _Console(stream or sys.stderr, silent=run is None or verbosity < 0)
        self.epoch_speeds: list[float] = []
        self._corrupt: set[tuple[str, str]] = set()
        self._window = _Window()
        self._epoch_window = _Window()

    def event(self, name: str, **values: object) -> None:
        """Record anything else."""
        self._records.write(name, **values)

    def say(self, text: str) -> None:
        """Tell people one line."""
        self._console.line(text)

    def corrupt(self, at: Progress, split: str, ids: list[str]) -> None:
        """Record samples that were left out because their pixels are not those once written."""
        if self._run is not None and not self._corrupt:
            self._corrupt = _known_corrupt(self._run / CORRUPT_NAME)
        new = [sample for sample in ids if (split, sample) not in self._corrupt]
        self._corrupt.update((split, sample) for sample in new)
        if not new:
            return
        self.event("corrupt", split=split, ids=new, epoch=at.epoch + 1, step=at.step)
        named = ", ".join(new[:3]) + (f" and {len(new) - 3} more" if len(new) > 3 else "")
        self.say(f"{split}: left out {len(new)} corrupt sample(s): {named}")
        if self._run is not None:
            known = [{"split": name, "id": sample} for name, sample in sorted(self._corrupt)]
            files.write_json(self._run / CORRUPT_NAME, {"samples": known})

    def status(self, state: str, progress: Progress, message: str) -> None:
        """Replace status.json."""
        if self._run is not None:
            records.write_status(
                self._run, state, epoch=progress.epoch, epochs=self._epochs, message=message
            )

    def begin_epoch(self, at: Progress, wait_s: float) -> None:
        """Start the clocks."""
        self._window = _Window(at.position, wait_s)
        self._epoch_window = _Window(at.position, wait_s)
        self.status("running", at, f"epoch {at.epoch + 1} of {self._epochs}")

    def step(
        self,
        at: Progress,
        step: StepVerdict,
        *,
        learning_rate: float,
        wait_s: float,
    ) -> None:
        """Record every `log_every`-th step, and every bad one."""
        self._window.waited(wait_s)
        if step.is_bad:
            self.event("bad_step", epoch=at.epoch + 1, step=at.step, grad_norm=step.grad_norm)
            self.say(f"step {at.step}: loss or gradient is not finite; the step is not taken")
        elif at.step % self._log_every == 0:
            totals = step.totals
            speed, data_s, seconds = self._window.close(at.position, wait_s)
            self._records.write(
                "step",
                epoch=at.epoch + 1,
                step=at.step,
                loss=totals.mean_loss,
                objective=totals.mean_objective,
                grad_norm=step.grad_norm,
                learning_rate=learning_rate,
                images_per_s=speed,
                seconds=seconds,
                data_seconds=data_s,
                step_data_seconds=self._window.waits,
            )
            self._window = _Window(at.position, wait_s)
        self._console.progress(
            f"epoch {at.epoch + 1}/{self._epochs}", at.position, self._epoch_samples
        )

    def epoch(
        self, at: Progress, val: Evaluation | None, *, learning_rate: float, wait_s: float
    ) -> None:
        """Record the epoch that has just been trained and evaluated."""
        totals = at.totals
        speed, data_s, seconds = self._epoch_window.result
        if speed > 0:  # nothing was left to train after a stop at the epoch's last step
            self.epoch_speeds.append(speed)
        train = {
            "loss": totals.mean_loss,
            "objective": totals.mean_objective,
            "accuracy": totals.accuracy,
            "images_per_s": speed,
            "seconds": seconds,
            "data_seconds": data_s,
            "bad_steps": at.bad_steps,
        }
        metrics = None if val is None else val.metrics
        self._records.write(
            "epoch",
            epoch=at.epoch + 1,
            step=at.step,
            train=train,
            val=metrics,
            learning_rate=learning_rate,
        )
        self._console.line(
            f"epoch {at.epoch + 1}/{self._epochs}: {_summary('train', train)}"
            f"{'' if metrics is None else ', ' + _summary('val', metrics)}, {speed:.1f} img/s"
        )

    def end_training(self, at: Progress, wait_s: float) -> None:
        """Stop the epoch's clock; the loss of its last step has been read, so it is done."""
        self._epoch_window.close(at.position, wait_s)

    @property
    def images_per_s(self) -> float | None:
        """Median over epochs; the first one, which warms up, is left out when there are more."""
        speeds = sorted(self.epoch_speeds[1:] or self.epoch_speeds)
        if not speeds:
            return None
        middle = len(speeds) // 2
        return speeds[middle] if len(speeds) % 2 else (speeds[middle - 1] + speeds[middle]) / 2


class _Window:
    """A stretch of time, from a position and a waiting time on."""

    def __init__(self, position: int = 0, wait_s: float = 0.0) -> None:
        self._position = position
        self._wait_s = wait_s
        self._begin = time.perf_counter()
        self._last_wait_s = wait_s
        self.waits: list[float] = []
        self.result = (0.0, 0.0, 0.0)

    def waited(self, wait_s: float) -> None:
        """One step more: keep how long it had waited for its data."""
        self.waits.append(round(wait_s - self._last_wait_s, 6))
        self._last_wait_s = wait_s

    def close(self, position: int, wait_s: float) -> tuple[float, float, float]:
        """(images per second, seconds waited for data, seconds)."""
        seconds = time.perf_counter() - self._begin
        speed = (position - self._position) / seconds if seconds > 0 else 0.0
        self.result = (speed, wait_s - self._wait_s, seconds)
        return self.result


class _Console:
    """A bar on a terminal; elsewhere one plain line every 30 s."""

    def __init__(self, stream: TextIO, *, silent: bool) -> None:
        self._stream = stream
        self._silent = silent
        self._is_terminal = stream.isatty()
        self._next_s = 0.0 if self._is_terminal else time.monotonic() + _LINE_EVERY_S
        self._bar_is_open = False

    def line(self, text: str) -> None:
        if self._silent:
            return
        end_bar = "\r\033[K" if self._bar_is_open else ""
        self._bar_is_open = False
        print(f"{end_bar}{text}", file=self._stream, flush=True)

    def progress(self, what: str, done: int, total: int) -> None:
        if self._silent or time.monotonic() < self._next_s:
            return
        if self._is_terminal:
            self._next_s = time.monotonic() + _BAR_EVERY_S
            bar = "#" * (_BAR_WIDTH * done // total)
            text = f"\r{what} [{bar:<{_BAR_WIDTH}}] {done}/{total}"
            print(text, end="", file=self._stream, flush=True)
            self._bar_is_open = True
        else:
            self._next_s = time.monotonic() + _LINE_EVERY_S
            self.line(f"{what}: {done}/{total} images")


def _known_corrupt(path: Path) -> set[tuple[str, str]]:
    """What an interrupted run had found already."""
    if not path.is_file():
        return set()
    samples = json.loads(path.read_text(encoding="utf-8"))["samples"]
    return {(sample["split"], sample["id"]) for sample in samples}


def _summary(name: str, values: JsonObject) -> str:
    shown = [
        f"{key} {values[key]:.4f}"
        for key in ("loss", "accuracy", "auroc")
        if isinstance(values.get(key), float)
    ]
    return f"{name} {' '.join(shown)}"
