"""What needs several ranks and no whole training run; results go to checks-<world size>.json."""

from __future__ import annotations

import json
from pathlib import Path
from unittest import mock

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
        **gradient_messages(),
        **norms_of_a_half_precision_shard(),
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


def gradient_messages():
    """How often gradients travel in a step of one micro-batch and of three."""
    from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
    from torch.distributed.fsdp._fully_shard import _fsdp_param_group

    from medtrain.models import blocks_of
    from medtrain.strategies.ddp import DDPStrategy
    from medtrain.strategies.fsdp import FSDPStrategy

    sent = []

    def noted(group, bucket):
        sent.append("all-reduce")
        return allreduce_hook(group, bucket)

    ddp = DDPStrategy(torch.device("cpu"))
    wrapped = ddp.prepare(tiny_model())
    wrapped.register_comm_hook(None, noted)
    fsdp = FSDPStrategy(torch.device("cpu"), blocks=blocks_of)
    sharded = fsdp.prepare(tiny_model())
    reduce = _fsdp_param_group.foreach_reduce

    def reduced(*arguments, **keywords):
        sent.append("reduce-scatter")
        return reduce(*arguments, **keywords)

    with mock.patch.object(_fsdp_param_group, "foreach_reduce", reduced):
        return {
            "ddp_messages": messages(ddp, wrapped, sent),
            "fsdp_messages": messages(fsdp, sharded, sent),
        }


def messages(strategy, model, sent):
    from medtrain.precision import Float32
    from medtrain.tasks import Classify
    from medtrain.types import Batch

    task = Classify(
        classes=["a", "b"],
        class_weights=[1.0, 1.0],
        positive_class=None,
        inputs=lambda batch: batch.images.permute(0, 3, 1, 2).float(),
        device=strategy.device,
        seed=0,
    )
    images = torch.arange(4 * 8 * 8 * 3).reshape(4, 8, 8, 3) % 255
    batch = Batch(images.to(torch.uint8), torch.tensor([0, 1, 0, 1]), torch.arange(4))
    counts = []
    for micro_batches in (1, 1, 3):  # the first step lays gradients out anew
        sent.clear()
        strategy.train_step(task, model, [batch] * micro_batches, Float32())
        counts.append(len(sent))
    return counts[1:]


def norms_of_a_half_precision_shard():
    """Batch normalisation under FSDP in bfloat16: which types it keeps."""
    from medtrain.models import blocks_of
    from medtrain.strategies.fsdp import FSDPStrategy

    strategy = FSDPStrategy(torch.device("cpu"), compute=torch.bfloat16, blocks=blocks_of)
    model = strategy.prepare(tiny_model())
    seen = []
    for name in ("0", "1"):  # a convolution, and the batch normalisation that follows it
        layer = model.features.get_submodule(name)
        layer.register_forward_pre_hook(lambda layer, _: seen.append(str(layer.weight.dtype)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(torch.randn(4, 3, 16, 16)).square().sum()
    loss.backward()
    return {
        "half_weights": seen,
        "norm_statistics": str(model.features[1].running_mean.dtype),
        "gradients_finite": all(
            bool(torch.isfinite(p.grad.to_local()).all()) for p in model.parameters()
        ),
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
