"""What each option of `ddp.*` gains: step times as ratios to plain DDP, interleaved.

    python benches/python/ddp_options.py --procs 2 --rounds 7

Prints machine, input, and for each option the median and the extremes over the rounds of (its
step time / plain DDP's step time in the same round). Below 1 is faster. On a machine with as
many GPUs as --procs it uses them (NCCL), else the CPU (gloo).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import tempfile
import time
from pathlib import Path

import torch
from torch import nn

from medtrain import distributed, machine
from medtrain.config import DdpConfig, ModelConfig
from medtrain.distributed import World
from medtrain.models import build_model
from medtrain.strategies.ddp import DDPStrategy

PLAIN = "plain"
OPTIONS = {
    PLAIN: DdpConfig(bucket_views=False),
    "bucket_views": DdpConfig(bucket_views=True),
    "static_graph": DdpConfig(bucket_views=False, static_graph=True),
    "bf16_compression": DdpConfig(bucket_views=False, bf16_compression=True),
}


class Step:
    """Forward, backward and SGD step of one replica with one set of options."""

    def __init__(self, arguments: argparse.Namespace, device: torch.device, options: DdpConfig):
        model, _ = build_model(ModelConfig(name=arguments.model), num_classes=2, in_channels=3)
        self.model = DDPStrategy(device, options=options).prepare(model)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1e-3)
        shape = (arguments.batch_size, 3, arguments.side, arguments.side)
        self.images = torch.randn(shape, device=device)
        self.labels = torch.arange(arguments.batch_size, device=device) % 2

    def seconds(self, steps: int) -> float:
        distributed.barrier()
        begin = time.perf_counter()
        for _ in range(steps):
            nn.functional.cross_entropy(self.model(self.images), self.labels).backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
        if self.images.is_cuda:
            torch.cuda.synchronize()
        return (time.perf_counter() - begin) / steps


def work(rank: int, arguments: argparse.Namespace, folder: str) -> None:
    torch.set_num_threads(max(1, machine.usable_cores() // arguments.procs))
    on_gpus = torch.cuda.device_count() >= arguments.procs
    device = torch.device("cuda", rank) if on_gpus else torch.device("cpu")
    world = World(rank, rank, arguments.procs, arguments.procs)
    distributed.initialise(world, device, f"file://{folder}/meet")
    steps = {name: Step(arguments, device, options) for name, options in OPTIONS.items()}
    for step in steps.values():
        step.seconds(2)  # the first ones allocate, choose kernels and fill the buckets
    rounds = [
        {name: step.seconds(arguments.steps) for name, step in steps.items()}
        for _ in range(arguments.rounds)
    ]
    if rank == 0:
        result = {"device": str(device), "threads": torch.get_num_threads(), "rounds": rounds}
        (Path(folder) / "result.json").write_text(json.dumps(result))
    distributed.barrier()
    distributed.shutdown()


def show(arguments: argparse.Namespace, result: dict) -> None:
    print(json.dumps(machine.describe_machine()))
    print(
        f"{arguments.model}, {arguments.batch_size} x 3 x {arguments.side} x {arguments.side} a "
        f"process, {arguments.procs} processes, {result['threads']} threads each, "
        f"{result['device']}; {arguments.rounds} interleaved rounds of {arguments.steps} steps"
    )
    plain = [times[PLAIN] for times in result["rounds"]]
    print(f"{PLAIN}: median {statistics.median(plain) * 1e3:.1f} ms a step")
    for name in OPTIONS:
        if name != PLAIN:
            ratios = [times[name] / times[PLAIN] for times in result["rounds"]]
            spread = f"{min(ratios):.3f} to {max(ratios):.3f}"
            print(f"{name}: {statistics.median(ratios):.3f} ({spread})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--procs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--model", default="medical_cnn")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--side", type=int, default=64)
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        processes = [
            context.Process(target=work, args=(rank, arguments, folder))
            for rank in range(arguments.procs)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        if any(process.exitcode for process in processes):
            raise SystemExit("a process failed; its message is above")
        show(arguments, json.loads((Path(folder) / "result.json").read_text()))


if __name__ == "__main__":
    main()
