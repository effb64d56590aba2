"""Preloaded by local Dask workers: a stop signal is for the run, which lets them finish."""

from __future__ import annotations

import signal


def dask_setup(worker: object) -> None:
    """Ignore what a terminal or SLURM sends to the whole group; Dask itself ends us by message."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
