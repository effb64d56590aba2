"""Training speed on the CPU: medtrain beside a hand-written loop and the source study's recipe.

    python benches/python/train_speed.py --threads 2 --rounds 5
    python benches/python/train_speed.py --what medtrain,loop --model tiny_cnn --size 64 --steps 8

Three ways to train the same network on the same images, batch 32, fp32, AdamW 1e-3, cosine,
weighted cross-entropy, clipping at 1:

- `medtrain`: `medtrain serial` as it is, records and checkpoints included.
- `loop`: what a competent user writes in plain PyTorch, with the same augmentation of whole batches
  from an array in memory.
- `study`: the second source system's recipe: each image tensor -> PIL -> tensor with torchvision
  transforms in four DataLoader workers.

They take turns in one process, `--rounds` times; each turn trains two epochs and counts the second.
Prints images/s (median and range), the ratio medtrain/loop of each round, and which share of
medtrain's CPU time (all threads) lies outside model and optimizer.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "medtrain"))

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from step_parts import parts_of_last_epoch

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


# -- the three ways -----------------------------------------------------------------------------


def medtrain_way(shards: Path, options: argparse.Namespace) -> float:
    from medtrain import run
    from medtrain.config import resolve
    from medtrain.distributed import World
    from medtrain.job import Job
    from medtrain.stop import StopFlag

    sets = [f"model.name={options.model}", "train.epochs=2", "train.monitor=loss"]
    sets += [f"train.threads={options.threads}"]
    if options.optimizer != "auto":
        sets.append(f"optim.fused={json.dumps(options.optimizer == 'fused')}")
    with tempfile.TemporaryDirectory() as out:
        job = Job(
            config=resolve("glaucoma", sets=sets), data=shards, out=Path(out) / "run", verbosity=-1
        )
        result = run.train(job, World(), StopFlag()).result
    return float(result["images_per_s"])


def loop_way(shards: Path, options: argparse.Namespace) -> float:
    from medtrain.config import AugmentConfig
    from medtrain.data.inputs import DRAWS, Augment

    images, labels = arrays(shards)
    model, augment = network(options.model), Augment(AugmentConfig())
    weights = torch.tensor(len(labels) / (2 * np.bincount(labels)), dtype=torch.float32)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=1e-3, weight_decay=1e-4, fused=options.optimizer != "loop"
    )
    steps = len(labels) // BATCH
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 2 * steps, 1e-6)
    model.train()
    for _ in range(2):
        begin = time.perf_counter()
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
        seconds = time.perf_counter() - begin
    return len(labels) / seconds


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


def study_way(shards: Path, options: argparse.Namespace) -> float:
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
    for _ in range(2):
        begin, running = time.perf_counter(), 0.0
        for x, y in loader:
            optimizer.zero_grad()
            output = model(x)
            loss = criterion(output, y)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            running += loss.item()
            (output.argmax(1) == y).sum().item()
        seconds = time.perf_counter() - begin
    return len(labels) / seconds


WAYS: dict[str, Callable[[Path, argparse.Namespace], float]] = {
    "medtrain": medtrain_way,
    "loop": loop_way,
    "study": study_way,
}

# -- where medtrain's CPU time goes --------------------------------------------------------------


def cpu_shares(shards: Path, options: argparse.Namespace) -> dict[str, float]:
    """Share of the training loop's CPU time (all threads): model, optimizer, inputs, the rest."""
    spent = parts_of_last_epoch(partial(medtrain_way, shards, options), time.process_time)
    seconds = {
        "model": spent["forward"] + spent["backward"],
        **{name: spent[name] for name in ("optimizer", "inputs", "the rest")},
    }
    return {name: part / spent["whole"] for name, part in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--what", default="medtrain,loop,study")
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
    ways = options.what.split(",")
    speeds: dict[str, list[float]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory(prefix="train-speed-") as folder:
        shards = make_data(Path(folder), options.size, options.steps)
        for at in range(options.rounds):
            # The order turns, so that nobody always runs on the warmer machine.
            for way in ways[at % len(ways) :] + ways[: at % len(ways)]:
                speeds[way].append(WAYS[way](shards, options))
        shares = cpu_shares(shards, options)
    for way, found in speeds.items():
        if found:
            print(
                f"{way:9} {statistics.median(found):8.2f} images/s "
                f"({min(found):.2f} to {max(found):.2f})"
            )
    if options.rounds and {"medtrain", "loop"} <= speeds.keys():
        pairs = zip(speeds["medtrain"], speeds["loop"], strict=True)
        ratios = sorted(one / other for one, other in pairs)
        print(
            f"medtrain/loop {statistics.median(ratios):.4f} ({ratios[0]:.4f} to {ratios[-1]:.4f})"
        )
    print("CPU time: " + ", ".join(f"{name} {share:.2%}" for name, share in shares.items()))
    outside = shares["inputs"] + shares["the rest"]
    print(f"CPU time outside model and optimizer: {outside:.2%}")


if __name__ == "__main__":
    main()
