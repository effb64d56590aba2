"""What all ranks say about samples that one of them could not use."""

from __future__ import annotations

import numpy as np

from medtrain.data import Trouble
from medtrain.errors import VerificationError
from medtrain.strategies.base import Strategy


def settle(strategy: Strategy, trouble: Trouble) -> list[int]:
    """The rows that any rank leaves out, on every rank; raises on every rank what ends the run."""
    mine = trouble.take()
    rows, found_by = np.unique(strategy.gather({"index": mine.rows})["index"], return_counts=True)
    line = f"{mine.message}\n" if mine.message else ""
    text = np.frombuffer(line.encode(), np.uint8)
    said = strategy.gather({"text": text})["text"].tobytes().decode(errors="replace")
    if said:
        # Ranks that share samples (stages of a pipeline) say the same.
        every = dict.fromkeys(said.splitlines())
        raise VerificationError(
            "; ".join(every),
            hint="`medprep verify OUT` lists all damage; --on-corrupt skip leaves it out",
        )
    if (found_by < strategy.world_size // strategy.data_degree).any():
        raise VerificationError(
            "processes that work on the same samples have read different pixels from the same file",
            hint="a disk or the memory of one machine is at fault; run again on another one",
        )
    return [int(row) for row in rows]
