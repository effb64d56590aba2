"""What needs several ranks and no whole training run; results go to checks-<world size>.json."""

from __future__ import annotations

import json
from pathlib import Path

import torch
import torch.distributed as dist


def run(world, folder: Path) -> None:
    from medtrain import distributed

    meeting = f"file://{folder}/meet-checks-{world.world_size}"
    distributed.initialise(world, torch.device("cpu"), meeting)
    found = {
        "world_size": world.world_size,
        **agreed_statistics(),
        **overflow_on_one_rank(),
        **sharded_checkpoint(folder / f"sharded-{world.world_size}"),
    }
    if world.rank == 0:
        (folder / f"checks-{world.world_size}.json").write_text(json.dumps(found))
    distributed.barrier()
    distributed.shutdown()


def tiny_model():
    from medtrain.models.tiny_cnn import TinyCNN

    torch.manual_seed(0)
    return TinyCNN(2, dropout=0.0)


def agreed_statistics():
    from medtrain.strategies.ddp import DDPStrategy

    strategy = DDPStrategy(torch.device("cpu"))
    model = strategy.prepare(tiny_model())
    mean = model.module.features[1].running_mean
    mean.fill_(float(strategy.rank))
    strategy.agree_statistics(model)
    average = (strategy.world_size - 1) / 2
    return {"statistics": mean.tolist(), "mean_rank": [average] * len(mean)}


def overflow_on_one_rank():
    from medtrain.precision import build_precision
    from medtrain.strategies.ddp import DDPStrategy

    strategy = DDPStrategy(torch.device("cpu"))
    precision = build_precision("fp16", torch.device("cpu"), strategy.agree)
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    weight.grad = torch.ones(2)
    if strategy.rank == strategy.world_size - 1:
        weight.grad[0] = float("inf")
    precision.unscale(optimizer)
    moved = precision.step(optimizer)
    return {
        "moved_after_overflow": gathered(moved),
        "scale_after_overflow": gathered(precision.loss_scale),
    }


def sharded_checkpoint(folder: Path):
    """Save, zero, load: equal; with frozen layers, as under an adapter."""
    from medtrain.models import blocks_of
    from medtrain.strategies.fsdp import FSDPStrategy
    from medtrain.strategies.sharded import consolidate

    strategy = FSDPStrategy(torch.device("cpu"), blocks=blocks_of)
    plain = tiny_model()
    for parameter in plain.features.parameters():
        parameter.requires_grad_(False)
    model = strategy.prepare(plain)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad])
    for _ in range(2):
        model(torch.randn(4, 3, 16, 16)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    saved = strategy.state(model, optimizer)
    frozen = dict(tiny_model().features.named_parameters(prefix="features"))
    if strategy.rank == 0:
        folder.mkdir()
    dist.barrier()
    strategy.shards.save(folder, model, optimizer)
    with torch.no_grad():
        for tensor in [*model.parameters(), *model.buffers()]:
            tensor.zero_()
    for slots in optimizer.state.values():
        for slot in slots.values():
            slot.zero_()
    zeroed = strategy.state(model, optimizer)
    strategy.shards.load(folder, model, optimizer)
    loaded = strategy.state(model, optimizer)
    whole = consolidate(folder)
    return {
        "frozen_bytes": furthest(frozen, {k: saved.model[k] for k in frozen}),
        "zeroed_model": furthest(saved.model, zeroed.model),
        "reloaded_model": furthest(saved.model, loaded.model),
        "reloaded_slots": furthest(saved.optimizer, loaded.optimizer),
        "consolidated_model": furthest(saved.model, whole.model),
        "consolidated_slots": furthest(saved.optimizer, whole.optimizer),
        "part_files": len(list(folder.glob("*.safetensors"))),
        "unwritable": unwritable(strategy, folder, model),
    }


def unwritable(strategy, folder, model):
    """What every rank says when the last one cannot write its part."""
    from medtrain.errors import StorageError

    there = folder / "part"
    if strategy.rank == strategy.world_size - 1:
        there = next(folder.glob("*.safetensors")) / "a-file-is-no-folder"
    try:
        strategy.shards.save(there, model, None)
    except StorageError as error:
        return gathered(str(error))
    return gathered("")


def furthest(one, other):
    assert one.keys() == other.keys(), one.keys() ^ other.keys()
    return max(float((one[k].double() - other[k].double()).abs().max()) for k in one)


def gathered(value):
    values = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values
