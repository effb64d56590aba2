"""Kill a training run inside its saves, again and again, and compare what comes out in the end.

    python tests/medtrain/torture.py --kills 100 --seed 0

Each trial trains the same small run that saves after every step. A child process is forked for
every attempt and kills itself (SIGKILL) at a random file operation below RUN/checkpoints; attempts
go on from what is there until one ends by itself. Weights, optimizer, averaged weights and metrics
must then have the SHA-256 of an undisturbed run.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import toy

KILLS_IN_A_ROW = 4  # then the run may end
OPERATIONS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod", "os.listdir")
SETS = toy.SMALL | {
    "checkpoint.every_steps": 1,
    "checkpoint.keep_last": 3,
    "checkpoint.keep_best": 2,
    "train.ema_decay": 0.9,
    "optim.schedule": "one-cycle",
}


def train(shards: Path, out: Path, kill_at: int | None) -> None:
    """One attempt, in a process of its own; dies at the `kill_at`-th operation of its saves."""
    import json

    from medtrain import run
    from medtrain.config import resolve
    from medtrain.distributed import World
    from medtrain.job import Job
    from medtrain.stop import StopFlag

    left = kill_at if kill_at is not None else -1
    folder = str(out / "checkpoints")

    def count(event: str, args: tuple[object, ...]) -> None:
        nonlocal left
        if event in OPERATIONS and left >= 0 and str(args[0]).startswith(folder):
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    texts = [f"{key}={json.dumps(value)}" for key, value in SETS.items()]
    job = Job(config=resolve("classify", sets=texts), data=shards, out=out, verbosity=-1)
    run.train(job, World(), StopFlag())


def attempt(shards: Path, out: Path, kill_at: int | None) -> bool:
    """Whether the run ended by itself; False when it was killed. Raises when it failed."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            train(shards, out, kill_at)
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return False
    if status:
        raise AssertionError(f"{out}: an attempt failed with status {status}")
    return True


def digest(out: Path) -> dict[str, str]:
    """SHA-256 of everything that was learned and measured."""
    files = sorted((out / "checkpoints").glob("*/*.safetensors"))
    files.append(out / "metrics.json")
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }


def torture(folder: Path, kills: int, seed: int) -> int:
    """Trials until `kills` saves were killed; returns how many that were. Raises on a difference.

    Torch has not computed anything in this process, so forked children are safe.
    """
    chance = random.Random(seed)
    shards = toy.make_shards(folder / "shards")
    assert attempt(shards, folder / "undisturbed", None)
    expected = digest(folder / "undisturbed")
    done = 0
    for trial in range(10 * kills):
        out = folder / f"trial-{trial}"
        for _ in range(KILLS_IN_A_ROW):
            if done == kills or attempt(shards, out, chance.randrange(400)):
                break
            done += 1
        else:
            attempt(shards, out, None)
        if not (out / "metrics.json").is_file():
            attempt(shards, out, None)
        found = digest(out)
        differing = [name for name in expected if found.get(name) != expected[name]]
        assert found.keys() == expected.keys(), f"{out}: {sorted(found.keys() ^ expected.keys())}"
        assert not differing, f"{out}: {differing} differ after kills (seed {seed})"
        if done >= kills:
            break
    return done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    import torch  # noqa: F401 (once, before the forks)

    from medtrain import run  # noqa: F401

    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="medtrain-torture-") as folder:
        done = torture(Path(folder), options.kills, options.seed)
    seconds = time.monotonic() - begin
    print(
        f"{done} kills inside a save, {done} runs ended with the undisturbed bits, {seconds:.0f} s"
    )


if __name__ == "__main__":
    main()
