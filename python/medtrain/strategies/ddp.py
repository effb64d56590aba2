"""Data parallel: a full replica on every process, gradients averaged by torch's DDP."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from medtrain import distributed
from medtrain.config import DdpConfig
from medtrain.precision import Precision
from medtrain.strategies.serial import SerialStrategy
from medtrain.strategies.synced_norm import synchronise_norms
from medtrain.tasks.base import Task
from medtrain.types import Batch, JsonObject, Rows, StepOutput

# torch 2.13 renamed the switch and warns about the old name.
_LEAVE_BUFFERS: dict[str, Any] = (
    {"forward_sync_buffers": False}
    if "forward_sync_buffers" in inspect.signature(DistributedDataParallel).parameters
    else {"broadcast_buffers": False}
)


class DataParallelStrategy(SerialStrategy):
    """What all strategies share whose processes read different samples."""

    def __init__(
        self, device: torch.device, *, channels_last: bool = False, sync_norm: bool = False
    ) -> None:
        super().__init__(device, channels_last=channels_last)
        self.rank = self.data_rank = distributed.rank()
        self.world_size = self.data_degree = distributed.world_size()
        self._sync_norm = sync_norm

    def batch_statistics(self, batch_size: int) -> tuple[int, str]:
        """Each process's own batch, or with `model.sync_bn` those of all of them."""
        if self._sync_norm:
            return batch_size * self.world_size, f"one batch of each of {self.world_size} processes"
        return batch_size, "one batch of one process"

    def prepare(self, model: nn.Module) -> nn.Module:
        """The plain model on this process's device."""
        model = super().prepare(model)
        return synchronise_norms(model, self.device) if self._sync_norm else model

    def agree_statistics(self, model: nn.Module) -> None:
        """Average floating-point buffers over ranks; counters are equal already."""
        buffers = [b for b in self._plain(model).buffers() if b.is_floating_point()]
        if not buffers:
            return
        # float64, so that statistics which are equal on all ranks come out as they went in.
        flat = torch.cat([buffer.detach().double().flatten() for buffer in buffers])
        flat = distributed.sum_over_ranks(flat) / self.world_size
        parts = torch.split(flat, [buffer.numel() for buffer in buffers])
        for buffer, part in zip(buffers, parts, strict=True):
            buffer.copy_(part.view_as(buffer))

    def gather(self, rows: Rows) -> Rows:
        """All ranks' rows on every rank."""
        return distributed.gather_rows(rows)

    def agree(self, flag: int) -> int:
        """The largest flag of any rank."""
        return distributed.max_over_ranks(flag)

    def close(self) -> None:
        """Wait for the others, so that none is killed while another still saves; then leave."""
        distributed.barrier()
        distributed.shutdown()

    def _sum(self, tensor: torch.Tensor) -> torch.Tensor:
        return distributed.sum_over_ranks(tensor)

    def _join_without_samples(self, task: Task, model: nn.Module, batch: Batch) -> None:
        """Bring zero gradients to the collective, and an empty batch to shared statistics.

        Statistics over all ranks are themselves collectives, which it joins with count 0.
        """
        if not self._sync_norm:
            self._pass_without_samples(task, model, batch)
            return
        (task.forward(model, batch).objective * 0.0).backward()  # type: ignore[no-untyped-call]

    def _pass_without_samples(self, task: Task, model: nn.Module, batch: Batch) -> None:
        """One black image, in eval mode, times zero.

        In eval mode it leaves running statistics alone and may be a single image.
        """
        model.eval()
        forward = task.forward(model, batch.stand_in())
        (forward.objective * 0.0).backward()  # type: ignore[no-untyped-call]
        model.train()


class DDPStrategy(DataParallelStrategy):
    """The serial step, with sums and gradients over all processes of the group."""

    name = "ddp"

    def __init__(
        self,
        device: torch.device,
        *,
        channels_last: bool = False,
        sync_norm: bool = False,
        options: DdpConfig | None = None,
    ) -> None:
        super().__init__(device, channels_last=channels_last, sync_norm=sync_norm)
        self._options = options or DdpConfig()
        self._is_laid_out = self.world_size <= 2  # the sum of two numbers has one rounding

    def details(self) -> JsonObject:
        """The options of DDP."""
        return asdict(self._options) | {"sync_bn": self._sync_norm}

    def prepare(self, model: nn.Module) -> nn.Module:
        """Wrap the model on this process's device; rank 0's weights are sent to all."""
        # Buffers are not broadcast at every step: ranks keep their own batch statistics until
        # `agree_statistics`; rank 0's alone would be what is evaluated and saved otherwise.
        wrapped = DistributedDataParallel(
            super().prepare(model),
            device_ids=[self.device] if self.device.type == "cuda" else None,
            static_graph=self._options.static_graph,
            gradient_as_bucket_view=self._options.bucket_views,
            **_LEAVE_BUFFERS,
        )
        if self._options.bf16_compression:
            from torch.distributed.algorithms.ddp_comm_hooks import default_hooks

            wrapped.register_comm_hook(None, default_hooks.bf16_compress_hook)
        return wrapped

    def train_step(
        self, task: Task, model: nn.Module, micro_batches: Sequence[Batch], precision: Precision
    ) -> StepOutput:
        """The serial step over all ranks, with the same rounding in a resumed run."""
        if not self._is_laid_out:
            # torch lays gradients out anew after the first backward pass, and where an element
            # lies decides in which order three and more ranks add it up.
            self._is_laid_out = True
            first = micro_batches[0]
            # No rank has samples: statistics over all of them would be those of nothing.
            self._pass_without_samples(task, model, first.without(np.ones(len(first), np.bool_)))
            for parameter in model.parameters():
                parameter.grad = None
        return super().train_step(task, model, micro_batches, precision)

    def _plain(self, model: nn.Module) -> nn.Module:
        return model.module if isinstance(model, DistributedDataParallel) else model

    def _synchronise(self, model: nn.Module, *, last: bool) -> AbstractContextManager[None]:
        if last or not isinstance(model, DistributedDataParallel):
            return nullcontext()
        return model.no_sync()
