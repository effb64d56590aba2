"""What a verb that starts trainers checks before it starts the first."""

from __future__ import annotations


def require_gpus(count: int) -> None:
    """Raise UsageError when this machine has fewer usable GPUs, as the trainer itself would."""
    import torch

    from medtrain.distributed import World
    from medtrain.job import resolve_processes

    cuda_devices = torch.cuda.device_count()
    resolve_processes(
        gpus=count, procs=None, nodes=1, world=World(), cuda_devices=cuda_devices, one=False
    )
