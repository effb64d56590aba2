"""The Python interface: the same words as the command line's flags."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medtrain.errors import MedprepError
from medtrain.trained import Trained


def train(
    recipe: str,
    data: str | Path,
    *,
    strategy: str = "serial",
    out: str | Path | None = None,
    procs: int | None = None,
    gpus: int | None = None,
    threads: int | None = None,
    precision: str | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    accumulate: int | None = None,
    deterministic: bool = False,
    resume: str | Path = "auto",
    config: str | Path | None = None,
    sets: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Train in processes of their own, from a script or a notebook; returns the result object.

    sets: dotted configuration keys and values, as `--set`. The keys of the result are those of
    `medtrain ... --json`: run, parameters, epochs, images_per_s, val, test. Raises TrainingError
    with the trainer's own message and exit code.
    """
    flags = {
        "--recipe": recipe,
        "--data": data,
        "--out": out,
        "--procs": procs if strategy != "serial" or gpus is None else None,
        "--gpus": gpus,
        "--threads": threads,
        "--precision": precision,
        "--epochs": epochs,
        "--batch-size": batch_size,
        "--accumulate": accumulate,
        "--resume": resume,
        "--config": config,
    }
    arguments = [text for flag, v in flags.items() if v is not None for text in (flag, str(v))]
    for key, value in (sets or {}).items():
        arguments += ["--set", f"{key}={json.dumps(value)}"]
    if deterministic:
        arguments.append("--deterministic")
    command = [sys.executable, "-m", "medtrain", strategy, *arguments, "--json"]
    code, output, errors = _run(command)
    if code != 0:
        raise TrainingError(errors.strip() or "no message", code)
    result: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
    return result


def _run(command: list[str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr; Ctrl-C is passed on, and waits until the trainer has saved.

    `subprocess.run` would kill it a quarter of a second later.
    """
    # A session of its own: a terminal's Ctrl-C would reach it a second time, which ends it at once.
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        output, errors = process.communicate()
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        process.communicate()
        raise
    except BaseException:
        process.kill()
        process.communicate()
        raise
    return process.returncode, output, errors


def load(run: str | Path, *, which: str = "best", device: str | None = None) -> Trained:
    """Open a run folder to predict and evaluate with its `best` or `last` weights."""
    return Trained(run, which=which, device=device)


class TrainingError(MedprepError):
    """A training process ended with an error; `exit_code` is the process's."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with the exit code."""
        return TrainingError, (self.message, self.exit_code)
