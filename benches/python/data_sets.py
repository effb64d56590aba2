"""From files to an archive on disk: medprep against Dask + OpenCV and against the first recipe.

Interleaving, warm-up and the start of clusters are those of `medprep bench`. Every maker gets the
list of files for nothing: medprep its plan, the others their paths.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from medprep.bench.arithmetic import Comparison, Configuration, compare
from medprep.bench.measure import Result, measure
from medprep.bench.session import SHARDS_PER_THREAD, cap_threads
from medprep.options import DataOptions
from medprep.plan import write_plan
from medprep.planning import make_plan
from medprep.run import RunOptions, run_shard
from peers import dask_batches, source_recipe
from workloads import Workload, describe

MEDPREP, DASK, RECIPE = ("threads", "rust"), ("dask", "python"), ("sequential", "source recipe")
NAMES = {
    MEDPREP: "medprep",
    DASK: "Dask + OpenCV, batched",
    RECIPE: "first source system's recipe",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSetResult:
    """One workload made into data sets. comparison: speedup refers to its baseline."""

    workload: Workload
    input: dict[str, Any]
    left_out: dict[str, str]
    comparison: Comparison


def measure_data_sets(
    workload: Workload,
    files: Sequence[Path],
    *,
    images: int,
    threads: int,
    rounds: int,
    is_real: bool,
    progress: Callable[[str], None] = lambda line: None,
) -> DataSetResult:
    """Measure every maker on `images` files, the given ones repeated as often as that takes.

    threads: of medprep and workers of Dask; both medprep with one thread and the recipe, which
    knows no other number, are measured, too.
    """
    cap_threads()
    left_out = {}
    wanted = [Configuration(*RECIPE, 1), Configuration(*MEDPREP, 1)]
    wanted += [Configuration(*MEDPREP, threads)] if threads > 1 else []
    if find_spec("distributed") is None:
        left_out[NAMES[DASK]] = "distributed is not installed"
    else:
        wanted.append(Configuration(*DASK, threads))
    with tempfile.TemporaryDirectory(prefix="medprep-compare-") as folder:
        src, template = Path(folder) / "src", Path(folder) / "plan"
        copies = repeat_files(files, src, images)
        template.mkdir()
        plan_data_set(workload, src, template, len(copies), threads)
        measured = measure(
            wanted,
            run=_maker(workload, src, copies, _digest(copies)),
            plan=template,
            repeats=rounds,
            scratch=Path(folder),
            progress=lambda line: progress(f"{workload.name}, data set: {line}"),
        )
        return DataSetResult(
            workload=workload,
            input=describe(copies, is_real=is_real),
            left_out=left_out,
            comparison=compare(measured),
        )


def _maker(
    workload: Workload, src: Path, files: Sequence[Path], digest: str
) -> Callable[[Configuration, Path, str | None], Result]:
    """The digest is that of the input: the archives differ in format and cannot be compared."""

    def run(configuration: Configuration, out: Path, scheduler: str | None) -> Result:
        if (configuration.engine, configuration.kernel) == RECIPE:
            made = source_recipe.write_data_set(files, out)
        elif scheduler is not None:
            made = dask_batches.write_data_set(
                files, out, workload.spec, scheduler, configuration.threads
            )
        else:
            options = RunOptions(threads=configuration.threads)
            made = run_shard(src, out, DataOptions(), options).images
        return Result(images=made, digest=digest)

    return run


def plan_data_set(workload: Workload, src: Path, out: Path, images: int, threads: int) -> None:
    """Write the plan of a data set into OUT, in shards enough for all threads."""
    steps = src.parent / "steps.json"
    steps.write_text(workload.spec.canonical())
    rows = max(1, -(-images // (SHARDS_PER_THREAD * threads)))
    options = DataOptions(steps=steps, shard_samples=rows)
    planned = make_plan(src, out, options, threads=threads, keep_key=False)
    write_plan(out, planned.plan, planned.samples)


def repeat_files(files: Sequence[Path], src: Path, images: int) -> list[Path]:
    """Copies of the files, again and again, under names of their own."""
    folder = src / "images"
    folder.mkdir(parents=True)
    copies = []
    for number in range(images):
        original = files[number % len(files)]
        copies.append(folder / f"{number:05}{original.suffix}")
        shutil.copyfile(original, copies[-1])
    return copies


def _digest(files: Sequence[Path]) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
