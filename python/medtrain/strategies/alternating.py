"""A model split by layers without a pipeline: what people write first, to be compared with.

Its groups of layers are dealt out to the processes in turn, and the whole batch goes from one to
the next: all processes but one wait, and every group costs a transfer each way. The second source
system places its network like this on two devices (five groups, four transfers).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.distributed as dist
from torch import nn

from medtrain.errors import ConfigError
from medtrain.precision import Precision
from medtrain.strategies.partition import cut_into_stages
from medtrain.strategies.pipeline import PipelineStrategy
from medtrain.strategies.stage import Stage
from medtrain.tasks.base import Task
from medtrain.types import Batch, Rows

_GROUPS_EACH = 2  # of a process, where pipeline.cut names none


class AlternatingStrategy(PipelineStrategy):
    """Group g of the model is on process g mod `world_size`; every process has one or more.

    Values and gradients travel in fp32, unpadded: all processes know the batch.
    """

    def prepare(self, model: nn.Module) -> nn.Module:
        """This process's groups on its device; the rest of the model is freed."""
        pieces = self._chain(model)
        model.eval()  # looking at the pieces must not move running statistics
        how = self._options.cut
        count = self._count(how)
        groups, self._shapes = cut_into_stages(pieces, stages=count, how=how, sample=self._sample)
        model.train()
        self._stage_starts = [pieces[group.start].name for group in groups]
        self._groups = groups
        self._mine = range(self.rank, count, self.world_size)
        stage = Stage(model, *([pieces[at] for at in groups[number]] for number in self._mine))
        stage.to(self.device, memory_format=self._format)  # type: ignore[call-overload]
        self._stage = (stage,)  # in a tuple, so that it is nobody's submodule
        return stage

    def _count(self, how: str) -> int:
        """The number of groups; one process alone has nobody to send to, and takes all in one."""
        if self.world_size == 1:
            return 1
        count = self.world_size * _GROUPS_EACH
        if how not in ("flops", "time"):
            count = len(how.split(",")) + 1
        if count < self.world_size:
            raise ConfigError(
                f"pipeline.cut={how}: {count} groups of layers are too few for {self.world_size} "
                "processes"
            )
        return count

    def evaluation_step(
        self, task: Task, model: nn.Module, batch: Batch | None, precision: Precision
    ) -> Rows:
        """Rows of one batch where the last group is, and none elsewhere."""
        assert batch is not None  # all ranks are data rank 0 of 1
        with torch.no_grad(), precision.autocast():
            for at, number in enumerate(self._mine):
                left: torch.Tensor = model(self._entered(task, batch, number), at)
                if number == len(self._groups) - 1:
                    return task.rows_of(left, batch)
                self._hand(left, number + 1)
        return task.no_rows()

    def _run(
        self,
        task: Task,
        batches: list[Batch],
        loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        precision: Precision,
    ) -> None:
        """One batch there and back; the gradients are in the parameters afterwards."""
        (batch,) = batches
        passed: list[tuple[torch.Tensor, torch.Tensor]] = []
        for at, number in enumerate(self._mine):
            entered = self._entered(task, batch, number).requires_grad_(number > 0)
            with precision.autocast():
                left = self._stage[0](entered, at).float()
            passed.append((entered, left))
            if number < len(self._groups) - 1:
                self._hand(left.detach(), number + 1)
        for number, (entered, left) in zip(reversed(self._mine), reversed(passed), strict=True):
            if number == len(self._groups) - 1:
                loss(left, torch.tensor(0)).backward()  # type: ignore[no-untyped-call]
            else:
                left.backward(self._taken(left.shape, number + 1))  # type: ignore[no-untyped-call]
            if number > 0:
                assert entered.grad is not None
                self._hand(entered.grad, number - 1)

    def _entered(self, task: Task, batch: Batch, number: int) -> torch.Tensor:
        """What group `number` starts from."""
        if number == 0:
            return task.inputs(batch)
        shape = self._shapes[self._groups[number].start]
        return self._taken((len(batch), *shape), number - 1)

    def _taken(self, shape: tuple[int, ...], source: int) -> torch.Tensor:
        """What the process of group `source` hands over."""
        buffer = torch.empty(shape, device=self.device)
        dist.recv(buffer, source % self.world_size)
        return buffer

    def _hand(self, tensor: torch.Tensor, target: int) -> None:
        dist.send(tensor.float().contiguous(), target % self.world_size)
