"""Which samples form which global batch, and which rank works on which part of it.

Pure functions of counts: every rank computes the whole plan and takes its own part, so nothing
is sent and the union over ranks is the serial global batch by construction.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise


def global_batches(count: int, size: int, start: int = 0) -> Iterator[tuple[int, int]]:
    """Ranges of positions (from, to) of the global batches from position `start` on.

    The last one may be shorter. A single left-over sample joins the batch before it, because
    batch normalisation has no statistics of one value.
    """
    while start < count:
        stop = min(start + size, count)
        if count - stop == 1:
            stop = count
        yield start, stop
        start = stop


def cut(count: int, pieces: int) -> list[range]:
    """Cut range(count) into at most `pieces` contiguous parts whose sizes differ by one at most.

    Parts have two samples or more (see `global_batches`), so a short batch makes fewer parts.
    """
    parts = min(pieces, max(1, count // 2))
    small, larger = divmod(count, parts)
    bounds = [part * small + min(part, larger) for part in range(parts + 1)]
    return [range(a, b) for a, b in pairwise(bounds)]


def micro_batches(count: int, *, accumulate: int, rank: int, world_size: int) -> list[range]:
    """This rank's parts of a global batch of `count` samples, one a micro-batch.

    Every rank gets the same number of micro-batches, since each ends in a collective; where
    there are too few parts, a rank's last one is empty.
    """
    parts = cut(count, accumulate * world_size)
    rounds = -(-len(parts) // world_size)
    mine = [rank + at * world_size for at in range(rounds)]
    return [parts[part] if part < len(parts) else range(0) for part in mine]
