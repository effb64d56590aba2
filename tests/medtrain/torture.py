"""Kill a training run inside its saves, again and again, and compare what comes out in the end.

    python tests/medtrain/torture.py --kills 100 --seed 0
    python tests/medtrain/torture.py --kills 30 --strategy fsdp --procs 2

Each trial trains the same small run that saves after every step. Child processes are forked for
every attempt, and one of them kills itself (SIGKILL) at a random file operation below
RUN/checkpoints; the others must then end by themselves. Attempts go on from what is there until one
ends undisturbed. Weights, optimizer, averaged weights and metrics must then have the SHA-256 of an
undisturbed run.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import toy
from safetensors import safe_open

KILLS_IN_A_ROW = 4  # then the run may end
PATIENCE_S = 120  # for the others to notice that one is gone; on a busy machine
OPERATIONS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod", "os.listdir")
SETS = toy.SMALL | {
    "checkpoint.every_steps": 1,
    "checkpoint.keep_last": 3,
    "checkpoint.keep_best": 2,
    "train.ema_decay": 0.9,
    "optim.schedule": "one-cycle",
}


@dataclass(frozen=True)
class Ranks:
    """How each attempt is trained: with `count` processes, under `strategy`."""

    strategy: str = "serial"
    count: int = 1

    def pick(self, chance: random.Random) -> tuple[int, int]:
        """(rank that dies, the file operation at which); rank 0 has most of them."""
        rank = 0 if self.count == 1 or chance.random() < 0.8 else chance.randrange(1, self.count)
        return rank, chance.randrange(400 if rank == 0 else 40)


def train(
    shards: Path, out: Path, ranks: Ranks, rank: int, kill_at: int | None, meeting: Path
) -> None:
    """One process of an attempt; dies at the `kill_at`-th operation of its saves."""
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
    job = Job(
        config=resolve("classify", sets=texts),
        data=shards,
        out=out,
        strategy=ranks.strategy,
        verbosity=-1,
    )
    world = World(rank, rank, ranks.count, ranks.count, "alone")
    run.train(job, world, StopFlag(), init_method=f"file://{meeting}")


def attempt(shards: Path, out: Path, ranks: Ranks, kill: tuple[int, int] | None) -> bool:
    """Whether the run ended by itself; False when it was killed. Raises when it failed."""
    meeting = Path(tempfile.mkdtemp(dir=out.parent)) / "meeting"
    children = {}
    for rank in range(ranks.count):
        kill_at = kill[1] if kill is not None and kill[0] == rank else None
        child = os.fork()
        if child == 0:
            code = 1
            try:
                train(shards, out, ranks, rank, kill_at, meeting)
                code = 0
            finally:
                os._exit(code)
        children[child] = rank
    statuses = wait_for(children)
    if any(os.WIFSIGNALED(s) and os.WTERMSIG(s) == signal.SIGKILL for s in statuses):
        return False
    if any(statuses):
        raise AssertionError(f"{out}: an attempt failed with statuses {statuses}")
    return True


def wait_for(children: dict[int, int]) -> list[int]:
    """The exit statuses of all; raises when one is left for long after another has ended."""
    statuses: list[int] = []
    left, first_end = dict(children), 0.0
    while left:
        for child in list(left):
            found, status = os.waitpid(child, os.WNOHANG)
            if found:
                statuses.append(status)
                del left[child]
                first_end = first_end or time.monotonic()
        if left and first_end and time.monotonic() - first_end > PATIENCE_S:
            for child in left:
                os.kill(child, signal.SIGKILL)
            raise AssertionError(f"ranks {sorted(left.values())} hang after another has ended")
        time.sleep(0.01)
    return statuses


def digest(out: Path) -> dict[str, str]:
    """SHA-256 of everything that was learned and measured."""
    found: dict[str, list[bytes]] = {}
    for path in sorted((out / "checkpoints").rglob("*.safetensors")):
        # Which process writes a tensor that all hold, and in which order, is for torch to choose.
        is_part = path.parent.parent.parent.name == "checkpoints"
        name = str((path.parent if is_part else path).relative_to(out))
        found[name] = found.get(name, []) + (tensors_in(path) if is_part else [path.read_bytes()])
    found["metrics.json"] = [(out / "metrics.json").read_bytes()]
    return {
        name: hashlib.sha256(b"".join(sorted(contents))).hexdigest()
        for name, contents in found.items()
    }


def tensors_in(part: Path) -> list[bytes]:
    """Name, offset and content of each; without torch, which must not compute in this process."""
    with safe_open(part, framework="numpy") as opened:
        offsets = json.loads(opened.metadata()["DCP_SHARDING_INFO"])
        return [
            f"{name} {offsets[name]} ".encode() + opened.get_tensor(name).tobytes()
            for name in opened.keys()  # noqa: SIM118 (not a dict)
        ]


def torture(folder: Path, kills: int, seed: int, ranks: Ranks) -> int:
    """Trials until `kills` saves were killed; returns how many that were. Raises on a difference.

    Torch has not computed anything in this process, so forked children are safe.
    """
    chance = random.Random(seed)
    shards = toy.make_shards(folder / "shards")
    assert attempt(shards, folder / "undisturbed", ranks, None)
    expected = digest(folder / "undisturbed")
    done = 0
    for trial in range(10 * kills):
        out = folder / f"trial-{trial}"
        for _ in range(KILLS_IN_A_ROW):
            if done == kills or attempt(shards, out, ranks, ranks.pick(chance)):
                break
            done += 1
        else:
            attempt(shards, out, ranks, None)
        if not (out / "metrics.json").is_file():
            attempt(shards, out, ranks, None)
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
    parser.add_argument("--strategy", default="serial")
    parser.add_argument("--procs", type=int, default=1)
    options = parser.parse_args()
    import torch  # noqa: F401 (once, before the forks)

    from medtrain import run  # noqa: F401

    if options.strategy == "fsdp":
        import medtrain.strategies.fsdp  # noqa: F401

    ranks = Ranks(options.strategy, options.procs)
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="medtrain-torture-") as folder:
        done = torture(Path(folder), options.kills, options.seed, ranks)
    seconds = time.monotonic() - begin
    print(
        f"{done} kills inside a save, {done} runs ended with the undisturbed bits, {seconds:.0f} s"
    )


if __name__ == "__main__":
    main()
