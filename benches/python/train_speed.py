"""Training speed on the CPU: medtrain beside a hand-written loop and the source study's recipe.

    python benches/python/train_speed.py --threads 2 --rounds 5
    OMP_WAIT_POLICY=passive nice python benches/python/train_speed.py --beside loop --rounds 20
    python benches/python/train_speed.py --beside loop --model tiny_cnn --size 64 --steps 8

Three ways to train the same network on the same images, batch 32, fp32, AdamW 1e-3, cosine,
weighted cross-entropy, clipping at 1:

- `medtrain`: `medtrain serial` as it is, records, evaluation and checkpoints included.
- `loop`: what a competent user writes in plain PyTorch, with the same augmentation of whole batches
  from an array in memory.
- `study`: the second source system's recipe: each image tensor -> PIL -> tensor with torchvision
  transforms in four DataLoader workers.

One run of each, in one process: they take turns of one epoch, and change who goes first. The first
turns warm up. What counts is the same for all, the training steps of an epoch; medtrain evaluates
and saves between its turns. Of every turn wall-clock time and CPU time are read, the latter of all
threads and ended child processes: other work on the machine lengthens the one and, but for shared
caches, not the other. Threads that wait for each other may spin, though, and look busy;
OMP_WAIT_POLICY=passive lets them sleep.

Prints images/s and CPU seconds an image (median and range), the ratios of medtrain to loop in each
round, and which share of medtrain's CPU time (all threads) lies outside model and optimizer.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "medtrain"))

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from step_parts import epochs_told, parts_of_last_epoch

BATCH = 32


def make_data(folder: Path, size: int, steps: int) -> Path:
    import toy

    counts = {"train": BATCH * steps, "val": BATCH}
    return toy.make_shards(folder / "shards", counts=counts, side=size, shard_samples=64)


def arrays(shards: Path) -> tuple[np.ndarray, np.ndarray]:
    from medprep.shards import ShardReader

    reader = ShardReader(shards, "train")
    return reader.batch(np.arange(len(reader)))


def network(name: str) -> nn.Module:
    from medtrain.config import ModelConfig
    from medtrain.models import build_model

    torch.manual_seed(0)
    return build_model(ModelConfig(name=name), num_classes=2, in_channels=3)[0]


# -- the three ways: what trains an epoch at each call, and medtrain, which calls us --------------


def train(shards: Path, options: argparse.Namespace, epochs: int) -> None:
    from medtrain import run
    from medtrain.config import resolve
    from medtrain.distributed import World
    from medtrain.job import Job
    from medtrain.stop import StopFlag

    sets = [f"model.name={options.model}", f"train.epochs={epochs}", "train.monitor=loss"]
    sets += [f"train.threads={options.threads}"]
    if options.optimizer != "auto":
        sets.append(f"optim.fused={json.dumps(options.optimizer == 'fused')}")
    with tempfile.TemporaryDirectory() as out:
        job = Job(
            config=resolve("glaucoma", sets=sets), data=shards, out=Path(out) / "run", verbosity=-1
        )
        run.train(job, World(), StopFlag())


def loop_way(shards: Path, options: argparse.Namespace, epochs: int) -> Callable[[], None]:
    from medtrain.config import AugmentConfig
    from medtrain.data.inputs import DRAWS, Augment

    images, labels = arrays(shards)
    model, augment = network(options.model), Augment(AugmentConfig())
    weights = torch.tensor(len(labels) / (2 * np.bincount(labels)), dtype=torch.float32)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=1e-3, weight_decay=1e-4, fused=options.optimizer != "loop"
    )
    steps = len(labels) // BATCH
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * steps, 1e-6)
    model.train()

    def epoch() -> None:
        order = torch.randperm(len(labels)).numpy()
        for step in range(steps):
            rows = order[step * BATCH : (step + 1) * BATCH]
            x = torch.from_numpy(images[rows]).permute(0, 3, 1, 2).float().contiguous()
            x = (augment(x, torch.rand(BATCH, DRAWS)) - 110.0) * (1 / 45.0)
            loss = functional.cross_entropy(model(x), torch.from_numpy(labels[rows]), weights)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()

    return epoch


class StudyDataset(torch.utils.data.Dataset):
    """Each item tensor -> PIL -> tensor, as the source study does."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        from torchvision import transforms

        self.images = (images / 255.0).astype(np.float32)
        self.labels = labels
        self.transform = transforms.Compose(
            [
                transforms.ToPILImage(),
                transforms.RandomHorizontalFlip(0.5),
                transforms.RandomVerticalFlip(0.5),
                transforms.RandomRotation(15),
                transforms.ColorJitter(0.1, 0.1, 0.05, 0.05),
                transforms.ToTensor(),
                transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, at: int) -> tuple[torch.Tensor, int]:
        image = torch.from_numpy(self.images[at]).permute(2, 0, 1)
        return self.transform(image), int(self.labels[at])


def study_way(shards: Path, options: argparse.Namespace, epochs: int) -> Callable[[], None]:
    images, labels = arrays(shards)
    warnings.filterwarnings("ignore", message="This DataLoader will create 4 worker")
    loader = torch.utils.data.DataLoader(
        StudyDataset(images, labels), batch_size=BATCH, shuffle=True, num_workers=4
    )
    model = network(options.model)
    counts = np.bincount(labels)
    weights = torch.tensor((1 / counts) / (1 / counts).sum(), dtype=torch.float32)
    criterion = nn.CrossEntropyLoss(weights)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-4)
    model.train()

    def epoch() -> None:
        running = 0.0
        for x, y in loader:
            optimizer.zero_grad()
            output = model(x)
            loss = criterion(output, y)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            running += loss.item()
            (output.argmax(1) == y).sum().item()

    return epoch


BESIDE = {"loop": loop_way, "study": study_way}

# -- turns --------------------------------------------------------------------------------------


class Spent(NamedTuple):
    """Seconds of one turn. cpu: of all threads, and of child processes that have ended."""

    wall: float
    cpu: float


def now() -> Spent:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return Spent(time.perf_counter(), sum(one.ru_utime + one.ru_stime for one in used))


class Turns:
    """What every way has spent, turn after turn; the first ones warm up and are not kept."""

    def __init__(self, others: Mapping[str, Callable[[], None]]) -> None:
        self._others = others
        self.spent: dict[str, list[Spent]] = {"medtrain": [], **{way: [] for way in others}}
        self._begin = now()

    def began(self, epoch: int, _wait_s: float) -> None:
        """medtrain is about to train an epoch; in every second one the others have gone before."""
        if epoch % 2:
            self._train_others(epoch)
        self._begin = now()

    def ended(self, epoch: int, _wait_s: float) -> None:
        """medtrain has trained it, and neither evaluated nor saved yet."""
        self._keep("medtrain", epoch)
        if not epoch % 2:
            self._train_others(epoch)
        print(f"round {epoch} (0 warms up)", file=sys.stderr)

    def _train_others(self, epoch: int) -> None:
        for way, train_epoch in self._others.items():
            self._begin = now()
            train_epoch()
            self._keep(way, epoch)

    def _keep(self, way: str, epoch: int) -> None:
        end = now()
        if epoch > 0:
            self.spent[way].append(Spent(end.wall - self._begin.wall, end.cpu - self._begin.cpu))


def take_turns(shards: Path, options: argparse.Namespace) -> dict[str, list[Spent]]:
    """Seconds of each way in every counted round."""
    epochs = options.rounds + 1
    turns = Turns({way: BESIDE[way](shards, options, epochs) for way in options.beside})
    with epochs_told(turns.began, turns.ended):
        train(shards, options, epochs)
    return turns.spent


def across(values: Sequence[float], digits: int) -> str:
    """Median and range."""
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def compare(spent: Mapping[str, Sequence[Spent]], images: int) -> Iterator[str]:
    """Lines for people. images: of one turn."""
    for way, turns in spent.items():
        speeds = across([images / turn.wall for turn in turns], 2)
        costs = across([turn.cpu / images for turn in turns], 4)
        yield f"{way:9} {speeds} images/s, {costs} CPU s/image"
    if "loop" in spent:
        pairs = list(zip(spent["medtrain"], spent["loop"], strict=True))
        yield f"medtrain/loop: images/s {across([b.wall / a.wall for a, b in pairs], 4)}"
        yield f"medtrain/loop: CPU s/image {across([a.cpu / b.cpu for a, b in pairs], 4)}"


# -- where medtrain's CPU time goes --------------------------------------------------------------


def cpu_shares(shards: Path, options: argparse.Namespace) -> dict[str, float]:
    """Share of the training loop's CPU time (all threads): model, optimizer, inputs, the rest."""
    spent = parts_of_last_epoch(partial(train, shards, options, 2), time.process_time)
    seconds = {
        "model": spent["forward"] + spent["backward"],
        **{name: spent[name] for name in ("optimizer", "inputs", "the rest")},
    }
    return {name: part / spent["whole"] for name, part in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--beside", default="loop,study", type=lambda text: text.split(","))
    parser.add_argument("--model", default="medical_cnn")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--steps", type=int, default=4, help="of one epoch")
    parser.add_argument("--rounds", type=int, default=5, help="0: only where CPU time goes")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--optimizer", choices=["auto", "fused", "loop"], default="auto")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    from medtrain.machine import describe_machine

    machine = describe_machine()
    print(
        f"{machine['cpu_model']}, {machine['cores']} cores, {options.threads} threads, "
        f"torch {torch.__version__}; {options.model} {options.size}x{options.size}, batch {BATCH}, "
        f"{options.steps} steps an epoch, {options.rounds} rounds, optimizer {options.optimizer}"
    )
    with tempfile.TemporaryDirectory(prefix="train-speed-") as folder:
        shards = make_data(Path(folder), options.size, options.steps)
        spent = take_turns(shards, options) if options.rounds else {}
        shares = cpu_shares(shards, options)
    for line in compare(spent, images=BATCH * options.steps):
        print(line)
    print("CPU time: " + ", ".join(f"{name} {share:.2%}" for name, share in shares.items()))
    outside = shares["inputs"] + shares["the rest"]
    print(f"CPU time outside model and optimizer: {outside:.2%}")


if __name__ == "__main__":
    main()
