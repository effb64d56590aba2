"""Fully sharded data parallel (FSDP2): every process holds a part of every parameter.

Parameters are gathered piece by piece when they are needed. Gradients are those of DDP: the sum
of the losses over the global weight, averaged over ranks, hence times the number of ranks.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import (
    CPUOffloadPolicy,
    FSDPModule,
    MixedPrecisionPolicy,
    OffloadPolicy,
    fully_shard,
)

from medtrain import distributed
from medtrain.config import FsdpConfig
from medtrain.precision import Precision
from medtrain.strategies import state as tensor_state
from medtrain.strategies.base import Chain, TrainingState
from medtrain.strategies.ddp import DataParallelStrategy
from medtrain.strategies.recompute import recompute_in_backward
from medtrain.strategies.sharded import FsdpShards, reshard
from medtrain.tasks.base import Task
from medtrain.types import Batch, JsonObject, Piece, Rows


def _no_pieces(model: nn.Module) -> Sequence[Piece]:
    return ()


_FULL = MixedPrecisionPolicy(cast_forward_inputs=False)


class FSDPStrategy(DataParallelStrategy):
    """The data-parallel step over sharded parameters.

    compute: dtype of convolutions and matrix products; parameters are gathered in it, and their
    gradients are reduced in fp32. Normalisation layers form one group of their own, in fp32:
    their statistics and few parameters do not bear rounding.
    blocks: the pieces of a model, one group of parameters each; without any, all is one group.
    """

    name = "fsdp"

    def __init__(
        self,
        device: torch.device,
        *,
        channels_last: bool = False,
        sync_norm: bool = False,
        compute: torch.dtype = torch.float32,
        options: FsdpConfig | None = None,
        blocks: Chain = _no_pieces,
    ) -> None:
        super().__init__(device, channels_last=channels_last, sync_norm=sync_norm)
        self._options = options or FsdpConfig()
        self.shards = FsdpShards() if self._options.sharded_checkpoint else None
        self._pieces = blocks
        self._groups = 0
        self._mesh = init_device_mesh(device.type, (self.world_size,))
        self._policy = (
            _FULL
            if compute == torch.float32
            # Inputs are cast by autocast, where each operation knows what it bears.
            else MixedPrecisionPolicy(compute, torch.float32, cast_forward_inputs=False)
        )

    def details(self) -> JsonObject:
        """The options of FSDP, and how many groups of parameters are gathered apart."""
        return asdict(self._options) | {"sync_bn": self._sync_norm, "groups": self._groups}

    def prepare(self, model: nn.Module) -> nn.Module:
        """Shard the model; rank 0's weights are those that are cut up."""
        model = super().prepare(model)
        for tensor in [*model.parameters(), *model.buffers()]:
            distributed.broadcast(tensor.detach(), source=0)
        blocks = self._blocks(model)
        if self._options.activation_checkpointing:
            for block in blocks:
                recompute_in_backward(block)
        norms = [module for module in model.modules() if _is_norm(module)]
        if norms:
            self._shard(norms, _FULL, reshard=False)
        for block in blocks:
            self._shard([block], self._policy, reshard=self._options.reshard_after_forward)
        # What lies outside of all blocks, such as a class token, has no autocast of its own.
        self._shard([model], _FULL if blocks else self._policy, reshard=False)
        return model

    def clip_grad_norm(self, model: nn.Module, max_norm: float) -> torch.Tensor:
        """The gradient norm over all shards, before clipping."""
        return _whole(super().clip_grad_norm(model, max_norm))

    def evaluation_step(
        self, task: Task, model: nn.Module, batch: Batch | None, precision: Precision
    ) -> Rows:
        """Rows of one batch; a rank without one gathers parameters with the others."""
        shape = self._image_shape(batch)
        mine = _black_image(shape, self.device) if batch is None else batch
        rows = super().evaluation_step(task, model, mine, precision)
        # No backward pass frees what this one gathered, and the weights may be others (the
        # averaged ones) when it is used again.
        reshard(model)
        return task.no_rows() if batch is None else rows

    def state(self, model: nn.Module, optimizer: torch.optim.Optimizer | None) -> TrainingState:
        """Whole tensors, gathered one after the other, on every rank's CPU."""
        reshard(model)
        return tensor_state.collect(model, optimizer, whole=_whole)

    def load_state(
        self, model: nn.Module, optimizer: torch.optim.Optimizer | None, state: TrainingState
    ) -> None:
        """Each rank takes its shard of the whole tensors."""
        reshard(model)
        tensor_state.restore(model, optimizer, state)

    def _blocks(self, model: nn.Module) -> list[nn.Module]:
        """The modules that are gathered alone, in the order in which they run."""
        modules = dict(model.named_modules())
        parts = [part for piece in self._pieces(model) for part in piece.parts if part in modules]
        return [modules[part] for part in parts if _has_more_than_norms(modules[part])]

    def _shard(
        self, modules: list[nn.Module], policy: MixedPrecisionPolicy, *, reshard: bool
    ) -> None:
        offload = (
            # Pinned memory is a matter of CUDA and fails without it.
            CPUOffloadPolicy(pin_memory=self.device.type == "cuda")
            if self._options.cpu_offload
            else OffloadPolicy()
        )
        self._groups += 1
        fully_shard(
            modules,
            mesh=self._mesh,
            reshard_after_forward=reshard,
            mp_policy=policy,
            offload_policy=offload,
        )

    def _synchronise(self, model: nn.Module, *, last: bool) -> AbstractContextManager[None]:
        if isinstance(model, FSDPModule):
            model.set_requires_gradient_sync(last)
        return nullcontext()

    def _image_shape(self, batch: Batch | None) -> list[int]:
        """(H, W, C) of the images that some rank has."""
        mine = [0, 0, 0] if batch is None else list(batch.images.shape[1:])
        return distributed.largest(mine)


def _is_norm(module: nn.Module) -> bool:
    """A layer whose parameters all have one dimension: scale and shift of some normalisation."""
    own = list(module.parameters(recurse=False))
    return bool(own) and all(p.ndim <= 1 for p in own)


def _has_more_than_norms(module: nn.Module) -> bool:
    return any(
        list(inner.parameters(recurse=False)) and not _is_norm(inner) for inner in module.modules()
    )


def _whole(tensor: torch.Tensor) -> torch.Tensor:
    full = getattr(tensor, "full_tensor", None)
    return tensor if full is None else full()


def _black_image(shape: list[int], device: torch.device) -> Batch:
    nothing = torch.zeros(1, dtype=torch.int64, device=device)
    return Batch(torch.zeros((1, *shape), dtype=torch.uint8, device=device), nothing, nothing)
