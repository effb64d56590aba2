"""Pipeline parallel: consecutive parts of the model on different processes.

All processes form one pipeline and work on the same samples. Each batch is cut into
micro-batches, so that a stage computes one while its neighbours compute others. A layer with
batch statistics sees one micro-batch at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain as joined

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.pipelining import PipelineStage, Schedule1F1B, ScheduleGPipe
from torch.distributed.pipelining.schedules import PipelineScheduleSingle

from medtrain import distributed
from medtrain.config import PipelineConfig
from medtrain.data.order import cut
from medtrain.precision import Precision
from medtrain.strategies import state as tensor_state
from medtrain.strategies.base import Chain, Shards, TrainingState
from medtrain.strategies.partition import cut_into_stages
from medtrain.strategies.stage import Padded, Stage, pad
from medtrain.tasks.base import Forward, Task
from medtrain.types import Batch, JsonObject, Rows, StepOutput

_SENDS_IN_FLIGHT = 2  # evaluation batches that a stage may be ahead of the next one


class PipelineStrategy:
    """Stage `rank` of `world_size`; data_degree is 1, as one pipeline reads all samples.

    sample: (C, H, W) of the model's input. batch_size: samples of a loader's batch at most; the
    size of what travels follows from it.
    """

    name = "pipeline"

    def __init__(
        self,
        device: torch.device,
        *,
        chain: Chain,
        sample: tuple[int, int, int],
        batch_size: int,
        options: PipelineConfig | None = None,
        channels_last: bool = False,
    ) -> None:
        self.device = device
        self.rank = distributed.rank()
        self.world_size = distributed.world_size()
        self.data_rank = 0
        self.data_degree = 1
        self.shards: Shards | None = None
        self._chain = chain
        self._sample = sample
        self._options = options or PipelineConfig()
        self._is_naive = self._options.schedule in ("naive", "alternating")
        self._parts = 1 if self._is_naive else self._options.micro_batches
        # A left-over sample joins the batch before it (data.order), which then has one more.
        self._rows = max(len(part) for part in cut(batch_size + 1, self._parts))
        self._format = torch.channels_last if channels_last else torch.preserve_format
        self._schedules: dict[int, PipelineScheduleSingle] = {}
        self._sends: list[tuple[torch.Tensor, dist.Work]] = []
        self._loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = _no_loss
        self._stage_starts: list[str] = []

    @property
    def _is_first(self) -> bool:
        return self.rank == 0

    @property
    def _is_last(self) -> bool:
        return self.rank == self.world_size - 1

    def details(self) -> JsonObject:
        """The schedule and the first piece of each stage."""
        return {
            "schedule": self._options.schedule,
            "micro_batches": self._parts,
            "cut": self._options.cut,
            "stages": self._stage_starts,
        }

    def batch_statistics(self, batch_size: int) -> tuple[int, str]:
        """One micro-batch: every layer sees one at a time."""
        images = max(len(part) for part in cut(batch_size, self._parts))
        if self._parts == 1:
            return images, "one batch"
        return images, f"one of {self._parts} micro-batches of the pipeline"

    def prepare(self, model: nn.Module) -> nn.Module:
        """This process's stage on its device; the rest of the model is freed."""
        pieces = self._chain(model)
        model.eval()  # looking at the pieces must not move running statistics
        stages, shapes = cut_into_stages(
            pieces, stages=self.world_size, how=self._options.cut, sample=self._sample
        )
        model.train()
        mine = stages[self.rank]
        self._stage_starts = [pieces[stage.start].name for stage in stages]
        self._entry, self._exit = shapes[mine.start], shapes[mine.stop]
        stage = Stage(model, [pieces[at] for at in mine])
        stage.to(self.device, memory_format=self._format)  # type: ignore[call-overload]
        self._padded = Padded(stage, self._rows)
        return stage

    def train_step(
        self, task: Task, model: nn.Module, micro_batches: Sequence[Batch], precision: Precision
    ) -> StepOutput:
        """Gradients of this stage: (sum of weighted losses) / (weight of the global batch)."""
        filled = [batch for batch in micro_batches if len(batch)]
        if not filled:  # unreadable samples are left out, on all ranks alike
            return StepOutput(torch.zeros(5, dtype=torch.float64, device=self.device))
        weight = torch.stack([task.weight(batch) for batch in filled]).sum()
        share = (1.0 / weight).float()
        sums = torch.zeros(5, dtype=torch.float64, device=self.device)
        for batches in self._rounds(filled):

            def loss(
                output: torch.Tensor, target: torch.Tensor, batches: list[Batch] = batches
            ) -> torch.Tensor:
                batch = batches[int(target)]
                forward: Forward = task.losses(output[: len(batch)], batch)
                sums.add_(forward.sums)
                return precision.scale(forward.objective * share)

            self._run(task, batches, loss, precision)
        # Only the last stage has seen losses; the others add zeros.
        return StepOutput(distributed.sum_over_ranks(sums))

    def clip_grad_norm(self, model: nn.Module, max_norm: float) -> torch.Tensor:
        """The gradient norm over all stages, before clipping."""
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        squares = nn.utils.get_total_norm(gradients).double().square().to(self.device)
        total = distributed.sum_over_ranks(squares).sqrt().float()
        if max_norm > 0:
            nn.utils.clip_grads_with_norm_(model.parameters(), max_norm, total)
        return total

    def agree_statistics(self, model: nn.Module) -> None:
        """Every layer lives on one rank only."""

    def evaluation_step(
        self, task: Task, model: nn.Module, batch: Batch | None, precision: Precision
    ) -> Rows:
        """Rows of one batch on the last stage, none on the others: `gather` brings them to all.

        The earlier stages do not wait for the result, so batches follow one another through the
        pipeline. A batch is not cut: every layer sees the same images together as in one
        process, and computes the same bits.
        """
        if batch is None:  # unreadable, on all ranks alike
            return task.no_rows()
        with torch.no_grad(), precision.autocast():
            entered = (
                task.inputs(batch) if self._is_first else self._receive(len(batch), self._entry)
            )
            left: torch.Tensor = model(entered)
        if self._is_last:
            return task.rows_of(left, batch)
        self._send(left.float().contiguous())
        return task.no_rows()

    def gather(self, rows: Rows) -> Rows:
        """The last stage's rows on every rank."""
        for _, work in self._sends:
            work.wait()
        self._sends.clear()
        return distributed.gather_rows(rows)

    def agree(self, flag: int) -> int:
        """The largest flag of any rank."""
        return distributed.max_over_ranks(flag)

    def state(self, model: nn.Module, optimizer: torch.optim.Optimizer | None) -> TrainingState:
        """The whole model, put together from all stages, on every rank."""
        mine = tensor_state.collect(model, optimizer)
        return TrainingState(
            distributed.union_of_tensors(mine.model), distributed.union_of_tensors(mine.optimizer)
        )

    def load_state(
        self, model: nn.Module, optimizer: torch.optim.Optimizer | None, state: TrainingState
    ) -> None:
        """This stage takes what is its own of the whole model."""
        own = model.state_dict().keys()
        parameters = {name for name, _ in model.named_parameters()}
        tensors = {name: value for name, value in state.model.items() if name in own}
        slots = {
            key: value
            for key, value in state.optimizer.items()
            if key.partition(tensor_state.SEPARATOR)[0] in parameters
        }
        tensor_state.restore(model, optimizer, TrainingState(tensors, slots))

    def close(self) -> None:
        """Wait for the others, so that none is killed while another still saves; then leave."""
        distributed.barrier()
        distributed.shutdown()

    def _rounds(self, batches: Sequence[Batch]) -> list[list[Batch]]:
        """The micro-batches of each run of the schedule: all at once, or naive: one by one."""
        parts = [[batch.part(rows) for rows in cut(len(batch), self._parts)] for batch in batches]
        return parts if self._is_naive else [list(joined(*parts))]

    def _run(
        self,
        task: Task,
        batches: list[Batch],
        loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        precision: Precision,
    ) -> None:
        count = len(batches)
        self._loss = loss
        self._padded.begin([len(batch) for batch in batches], precision.autocast)
        schedule = self._schedule(count)
        if self._is_first:
            inputs = torch.cat([pad(task.inputs(batch), self._rows) for batch in batches])
            schedule.step(inputs, target=torch.arange(count) if self._is_last else None)
        elif self._is_last:
            # What the loss is told is which micro-batch it has before it.
            schedule.step(target=torch.arange(count))
        else:
            schedule.step()

    def _schedule(self, count: int) -> PipelineScheduleSingle:
        """The schedule for `count` micro-batches; made once, with the shapes known beforehand."""
        if count not in self._schedules:
            stage = PipelineStage(
                self._padded,
                self.rank,
                self.world_size,
                self.device,
                input_args=self._example(self._entry, requires_grad=not self._is_first),
                output_args=self._example(self._exit, requires_grad=True),
            )
            # 1F1B is defined from as many micro-batches as stages on; below, GPipe is the same.
            one_by_one = self._options.schedule == "1f1b" and count >= self.world_size
            kind = Schedule1F1B if one_by_one else ScheduleGPipe
            self._schedules[count] = kind(
                stage,
                count,
                loss_fn=lambda output, target: self._loss(output, target),
                scale_grads=False,
            )
        return self._schedules[count]

    def _example(self, shape: tuple[int, ...], *, requires_grad: bool) -> torch.Tensor:
        return torch.empty((self._rows, *shape), device=self.device, requires_grad=requires_grad)

    def _receive(self, count: int, shape: tuple[int, ...]) -> torch.Tensor:
        buffer = torch.empty((count, *shape), device=self.device)
        dist.recv(buffer, self.rank - 1)
        return buffer

    def _send(self, tensor: torch.Tensor) -> None:
        work = dist.isend(tensor, self.rank + 1)
        assert work is not None
        self._sends.append((tensor, work))
        if len(self._sends) > _SENDS_IN_FLIGHT:
            self._sends.pop(0)[1].wait()


def _no_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    raise AssertionError("the schedule runs only inside train_step")
