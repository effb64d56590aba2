"""Chain peers in processes of their own, pinned to one core, measured in turns.

A round is A B C ...: every peer handles all images once while the others wait. Encoded bytes are in
memory before anything is timed. The first round warms up and is not counted.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from medprep import pipeline
from medprep.bench.arithmetic import Comparison, Configuration, Measurement, compare
from medprep.bench.measure import WARM_UP_ROUNDS
from medprep.bench.session import cap_threads
from medprep.errors import VerificationError
from peers import OPENCV, Chain, Peer, chain_peers, recipe_of
from workloads import Workload

START_TIMEOUT_S = 120
ENGINE = "chain"  # the engine of these configurations: a loop in one process


class PeerError(Exception):
    """A peer that cannot do a workload; the reason is for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerTimes:
    """What one peer's rounds gave: wall and CPU seconds per round, and how its samples compare.

    equal: samples that equal OpenCV's, None for floors.
    """

    peer: Peer
    seconds: tuple[float, ...]
    cpu_seconds: tuple[float, ...]
    equal: int | None
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainResult:
    """One workload measured. comparison: rows in the order of `times`, OpenCV the baseline."""

    workload: Workload
    input: dict[str, Any]
    times: tuple[PeerTimes, ...]
    left_out: dict[str, str]
    comparison: Comparison


def measure_chains(
    workload: Workload,
    files: Sequence[Path],
    described: dict[str, Any],
    *,
    rounds: int,
    core: int | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> ChainResult:
    """Measure all peers that are installed on these files.

    core: the processor they all share, by default the last this process may use. Raises
    VerificationError when a peer that claims OpenCV's pixels has others, and PeerError when the
    baseline or medprep itself fails; another peer that fails is left out by name.
    """
    cap_threads()
    peers, left_out = chain_peers(
        workload.image_format,
        has_floor=not workload.is_post_chain,
        only_opencv=workload.only_opencv,
    )
    if OPENCV not in [peer.name for peer in peers]:
        raise PeerError(
            "OpenCV is the baseline and is not installed: pip install 'medprep[opencv]'"
        )
    core = max(os.sched_getaffinity(0)) if core is None else core
    with ExitStack() as stack:
        working: list[Worker] = []
        for peer in peers:
            try:
                working.append(stack.enter_context(_worker(peer, workload, files, core)))
            except PeerError as error:
                if peer.module in ("opencv_chain", "medprep_chain"):
                    raise
                left_out[peer.name] = f"failed: {error}"
        equal = check_pixels(working, files)
        for number in range(WARM_UP_ROUNDS + rounds):
            for worker in working:
                worker.round(is_counted=number >= WARM_UP_ROUNDS)
            progress(f"{workload.name}: round {number} of {rounds} (0 warms up)")
        times = tuple(worker.times(equal) for worker in working)
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
    return ChainResult(
        workload=workload,
        input=described,
        times=times,
        left_out=left_out,
        comparison=compared(times, images=len(files), digest=digest),
    )


def compared(times: Sequence[PeerTimes], *, images: int, digest: str) -> Comparison:
    """The figures by `medprep.bench`; what must agree between rows here is the input.

    times: OpenCV first, which makes it the baseline. digest: of the input files.
    """
    comparison = compare(
        [
            Measurement(
                configuration=Configuration(ENGINE, each.peer.name, 1),
                seconds=each.seconds,
                images=images,
                digest=digest,
            )
            for each in times
        ]
    )
    assert comparison.baseline.kernel == OPENCV
    return comparison


def check_pixels(working: Sequence[Worker], files: Sequence[Path]) -> dict[str, int]:
    """How many samples of each chain equal OpenCV's. Raises VerificationError for a false claim."""
    expected = working[0].digests
    equal = {}
    for worker in working:
        if worker.peer.floor:
            continue
        same = [mine == theirs for mine, theirs in zip(worker.digests, expected, strict=True)]
        equal[worker.peer.name] = sum(same)
        if worker.claims and not all(same):
            raise VerificationError(
                f"{worker.peer.name}: {same.count(False)} of {len(same)} samples differ from "
                f"OpenCV's, first {files[same.index(False)]}",
                stage="bench",
                hint="it claims the same pixels: times of different work are not compared",
            )
    return equal


# -- one process per peer -------------------------------------------------------------------------


@dataclass
class Worker:
    """A peer's process, seen from here. digests: of its samples; claims: they equal OpenCV's."""

    peer: Peer
    pipe: Any
    claims: bool
    note: str
    digests: list[str]
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)

    def round(self, *, is_counted: bool) -> None:
        """Let it handle all images once."""
        self.pipe.send("round")
        seconds, cpu_seconds = _answer(self.pipe)
        if is_counted:
            self.seconds.append(seconds)
            self.cpu_seconds.append(cpu_seconds)

    def times(self, equal: dict[str, int]) -> PeerTimes:
        """What its rounds gave. equal: as `check_pixels` counted."""
        return PeerTimes(
            peer=self.peer,
            seconds=tuple(self.seconds),
            cpu_seconds=tuple(self.cpu_seconds),
            equal=equal.get(self.peer.name),
            note=self.note,
        )


@contextmanager
def _worker(peer: Peer, workload: Workload, files: Sequence[Path], core: int):
    # spawn: a forked child would share this process's imports, and their thread pools with them
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    words = (peer.module, workload.spec.canonical(), workload.is_post_chain)
    arguments = (there, *words, list(files), core)
    process = context.Process(target=_serve, args=arguments, daemon=True)
    process.start()
    there.close()
    try:
        yield Worker(peer, here, *_answer(here, timeout_s=START_TIMEOUT_S))
    finally:
        here.close()  # the child sees the end of its orders
        process.join(10)
        if process.is_alive():
            process.terminate()


def _answer(pipe: Any, timeout_s: float | None = None) -> Any:
    if timeout_s is not None and not pipe.poll(timeout_s):
        raise PeerError(f"not ready after {timeout_s} s")
    try:
        word, value = pipe.recv()
    except EOFError:
        raise PeerError("its process ended") from None
    if word == "error":
        raise PeerError(value)
    return value


def _serve(
    pipe: Any, module: str, spec_json: str, is_post_chain: bool, files: Sequence[Path], core: int
) -> None:
    """The child: prepare, digest every sample once, then a timed pass for every order."""
    os.sched_setaffinity(0, {core})  # before the peer is imported: libraries count processors then
    try:
        spec = pipeline.from_json(json.loads(spec_json))
        recipe = recipe_of(spec, is_post_chain=is_post_chain)
        chain: Chain = import_module(f"peers.{module}").make(recipe)
        inputs = [chain.prepare(path.read_bytes()) for path in files]
        digests = [_digest(chain.run(data)) for data in inputs]
        pipe.send(("ready", (chain.claims_opencv_pixels, chain.note, digests)))
        while pipe.recv() == "round":
            pipe.send(("times", _timed_pass(chain.run, inputs)))
    except EOFError:
        return
    except Exception as error:  # whatever a foreign package raises is its reason to be left out
        pipe.send(("error", f"{type(error).__name__}: {error}"))


def _timed_pass(run: Callable[[Any], object], inputs: Sequence[Any]) -> tuple[float, float]:
    """Wall and CPU seconds; CPU above wall would betray a second thread."""
    cpu_start, start = time.process_time(), time.perf_counter()
    for data in inputs:
        run(data)
    return time.perf_counter() - start, time.process_time() - cpu_start


def _digest(sample: np.ndarray | None) -> str:
    if sample is None:
        return ""
    # Shapes (H, W) and (H, W, 1) are the same sample.
    shape = (*sample.shape, 1)[:3]
    return hashlib.sha256(f"{shape} {sample.dtype}".encode() + sample.tobytes()).hexdigest()
