"""One bench from SRC to report: plan once, measure, compute, write the files."""

from __future__ import annotations

import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from medprep import _core, machine, privacy
from medprep.bench.arithmetic import Comparison, Configuration, compare
from medprep.bench.header_tables import header_markdown, save_header_plot
from medprep.bench.headers import compare_headers, dicom_paths
from medprep.bench.measure import WARM_UP_ROUNDS, Result, measure
from medprep.bench.plot import save_plot
from medprep.bench.tables import markdown
from medprep.errors import ExtraMissingError, UsageError, VerificationError
from medprep.inspect import pipeline_text
from medprep.kernels.python import load_opencv
from medprep.options import DataOptions
from medprep.plan import Plan, cut_shards, write_plan
from medprep.planning import Planned, make_plan
from medprep.run import RunOptions, run_shard
from medprep.sources import root_of
from medprep.sources.arrays import NAME as ARRAYS

SHARDS_PER_THREAD = 4  # so that shard by shard (dask) can balance as image by image (threads) does
_THREAD_CAPS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_VERSIONS = (
    "medprep",
    "numpy",
    "opencv-python-headless",
    "opencv-python",
    "dask",
    "distributed",
    "pydicom",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchOptions:
    """What to compare and how often. scratch: where shards go for a moment; None = the system's."""

    configurations: Sequence[Configuration]
    repeats: int = 3
    scratch: Path | None = None


def run_bench(
    src: Path,
    data: DataOptions,
    options: BenchOptions,
    *,
    progress: Callable[[str], None] = lambda line: None,
) -> tuple[dict[str, Any], Comparison]:
    """Measure all configurations on SRC; returns the JSON-ready report and the comparison.

    Without a shard size in `data`, shards are cut small enough for all threads to have several.
    Raises UsageError, NoInputError, ExtraMissingError before anything is measured, and
    VerificationError when two runs make different data sets.
    """
    with ExitStack() as quiet:
        quiet.enter_context(privacy.nameless_errors(src, private=bool(data.private)))
        return _run_bench(src, data, options, progress, quiet)


def _run_bench(
    src: Path,
    data: DataOptions,
    options: BenchOptions,
    progress: Callable[[str], None],
    quiet: ExitStack,
) -> tuple[dict[str, Any], Comparison]:
    check_extras(options.configurations)
    versions = _versions()  # first, as it refuses an unusable MEDPREP_CPU
    cap_threads()
    box = machine.describe()
    with tempfile.TemporaryDirectory(prefix="medprep-bench-plan-", dir=options.scratch) as folder:
        template = Path(folder) / "plan"
        template.mkdir()
        start = time.perf_counter()
        planned = make_plan(src, template, data, threads=machine.cores().usable, keep_key=False)
        plan_seconds = time.perf_counter() - start
        quiet.enter_context(privacy.nameless_errors(src, private=planned.plan.private))
        if planned.plan.layout == ARRAYS:
            raise UsageError(
                f"{src}: bench compares decoding image files, and arrays hold none",
                hint="bench on a folder of images",
            )
        if data.shard_size is None and data.shard_samples is None:
            planned = _cut_for(planned, max(c.threads for c in options.configurations))
        write_plan(template, planned.plan, planned.samples)
        comparison = compare(
            measure(
                options.configurations,
                run=_runner(src),
                plan=template,
                repeats=options.repeats,
                scratch=options.scratch,
                progress=progress,
            )
        )
    headers = _compare_headers(src, planned, options, progress)
    report = {
        "digest": comparison.digest,
        "images": comparison.images,
        "baseline": str(comparison.baseline),
        "rows": [row.to_json() for row in comparison.rows],
        "machine": box,
        "versions": versions,
        "input": _input_facts(src, planned),
        "method": {
            "repeats": options.repeats,
            "warm_up": WARM_UP_ROUNDS,
            "plan_seconds": plan_seconds,
            "shards": len(planned.plan.shards),
            "scratch_file_system": machine.file_system(
                options.scratch or Path(tempfile.gettempdir())
            ),
        },
    }
    return ({**report, "headers": headers} if headers else report), comparison


def _compare_headers(
    src: Path, planned: Planned, options: BenchOptions, progress: Callable[[str], None]
) -> dict[str, Any] | None:
    """The readers of DICOM headers compared; None where SRC has no DICOM."""
    root, cores = root_of(src), machine.cores().usable
    paths = dicom_paths(root, [sample.path for sample in planned.samples], cores)
    if not paths:
        return None
    threads = [c.threads for c in options.configurations]
    return compare_headers(root, paths, threads, repeats=options.repeats, progress=progress)


def check_extras(configurations: Sequence[Configuration]) -> None:
    """Raise ExtraMissingError now for what would be missing in the middle of the bench."""
    if any(c.kernel == "python" for c in configurations):
        load_opencv()
    if any(c.engine == "dask" for c in configurations):
        try:
            metadata.version("distributed")
        except metadata.PackageNotFoundError:
            raise ExtraMissingError(
                "engine 'dask' needs dask and distributed, which are not installed",
                hint="pip install 'medprep[dask]', or leave dask out of --engines",
            ) from None


def cap_threads() -> None:
    """One thread per kernel in this process and in the workers it starts."""
    for name in _THREAD_CAPS:
        os.environ[name] = "1"


def _cut_for(planned: Planned, threads: int) -> Planned:
    """The same plan in enough shards for `threads` threads to have several each."""
    plan = planned.plan
    rows = max(1, -(-plan.samples // (SHARDS_PER_THREAD * threads)))
    shards, _ = cut_shards(planned.samples, plan.splits, rows=rows)
    shard_options = {**plan.options, "shard_samples": rows, "shard_size": None}
    return replace(planned, plan=replace(plan, shards=shards, options=shard_options))


def _runner(src: Path) -> Callable[[Configuration, Path, str | None], Result]:
    """Run on the plan in OUT, which decides everything that shapes the output."""

    def run(configuration: Configuration, out: Path, scheduler: str | None) -> Result:
        report = run_shard(
            src,
            out,
            DataOptions(),
            RunOptions(
                engine=configuration.engine,
                kernel=configuration.kernel,
                threads=configuration.threads,
                scheduler=scheduler or "local",
            ),
        )
        if report.digest is None or report.resumed:
            raise VerificationError("bench refused: a run did not make the whole data set")
        return Result(images=report.images, digest=report.digest)

    return run


def _input_facts(src: Path, planned: Planned) -> dict[str, Any]:
    plan: Plan = planned.plan
    root = root_of(src)
    total = sum((root / path).stat().st_size for path in {s.path for s in planned.samples})
    return {
        "src": "SRC (private)" if plan.private else str(src),
        "images": plan.samples,
        "bytes": total,
        "bytes_per_image": total / plan.samples,
        "pipeline": pipeline_text(dict(plan.spec)),
    }


def _versions() -> dict[str, str | None]:
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for name in _VERSIONS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return {**versions, "core path": _core.cpu_path()}


def write_files(out: Path, report: dict[str, Any], comparison: Comparison) -> None:
    """Write bench.json, bench.png and bench.md into OUT, the page last.

    With DICOM in SRC also bench-headers.png.
    """
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report, indent=1, ensure_ascii=False) + "\n"
    (out / "bench.json").write_text(text, encoding="utf-8")
    title = f"{report['images']} images, {report['input']['pipeline']}"
    save_plot(comparison, out / "bench.png", title=title)
    page = markdown(report, comparison, "bench.png")
    if "headers" in report:
        save_header_plot(report["headers"], out / "bench-headers.png")
        page += header_markdown(report["headers"], "bench-headers.png")
    (out / "bench.md").write_text(page, encoding="utf-8")
