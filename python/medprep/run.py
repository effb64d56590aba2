"""One `medprep shard`: plan or resume, run what is missing, merge."""

from __future__ import annotations

import contextlib
import json
import platform
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from medprep import _core, privacy
from medprep.agreement import refuse_difference, refuse_new_images
from medprep.engines import ENGINE_NAMES, Job, Progress, Stop, run_job
from medprep.errors import (
    MedprepError,
    NoInputError,
    SourceError,
    StoppedError,
    UsageError,
    VerificationError,
)
from medprep.kernels import KERNEL_NAMES
from medprep.machine import cores
from medprep.manifest import FILE_NAME as MANIFEST_FILE
from medprep.options import DataOptions
from medprep.plan import (
    PLAN_FILE,
    Plan,
    PlannedShard,
    check_samples,
    has_plan,
    load_plan,
    read_samples,
    remove_samples,
    samples_path,
    write_plan,
)
from medprep.planning import Planned, check_out, make_plan
from medprep.report import EngineResult, ShardReport
from medprep.staging import readable_root
from medprep.storage import make_folder, storage_error, write_atomically
from medprep.types import JsonObject

RECORDS_FOLDER = "records"
_SHARD_NAME = re.compile(r"[A-Za-z0-9_]+-\d{5,}\.npz")
_RECORD_NAME = re.compile(r"[A-Za-z0-9_]+-\d{5,}\.json")
_OUR_FILES = ("samples.jsonl", "failures.jsonl", "run.json", PLAN_FILE)

Say = Callable[[str], None]
"""Takes one line for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How to run; none of it changes the output.

    threads: None = all cores this process may use. part: (I, N), the shards whose index mod N is
    I. on_error: `skip` or `fail`.
    """

    engine: str = "threads"
    kernel: str = "rust"
    threads: int | None = None
    scheduler: str = "local"
    part: tuple[int, int] | None = None
    on_error: str = "skip"
    overwrite: bool = False

    def __post_init__(self) -> None:
        for name, value, known in (
            ("engine", self.engine, ENGINE_NAMES),
            ("kernel", self.kernel, KERNEL_NAMES),
            ("on-error", self.on_error, ("skip", "fail")),
        ):
            if value not in known:
                raise UsageError(f"--{name} must be one of {', '.join(known)}; got {value!r}")
        if self.threads is not None and self.threads < 1:
            raise UsageError(f"--threads must be at least 1, got {self.threads}")
        if self.part is not None and not 0 <= self.part[0] < self.part[1]:
            index, count = self.part
            raise UsageError(
                f"--part {index}/{count}: the part must be in 0..{max(count - 1, 0)} (0-based)"
            )
        if self.part is not None and self.overwrite:
            raise UsageError("--part and --overwrite exclude each other: parts share one plan")

    @property
    def num_threads(self) -> int:
        """Threads to use."""
        return self.threads or available_cores()


def available_cores() -> int:
    """Cores that this process may run on (SLURM and cgroups give fewer than there are)."""
    return cores().usable


def run_shard(
    src: Path,
    out: Path,
    data: DataOptions,
    run: RunOptions,
    *,
    stop: Stop | None = None,
    progress: Callable[[int], Progress] | None = None,
    say: Say | None = None,
) -> ShardReport:
    """Make the data set of SRC in OUT, or what is missing of it.

    progress: given the number of images to do, returns what is told the counts.
    Raises UsageError and SpecError for wrong use, NoInputError when no image could be stored,
    StoppedError after `stop`, ImageError with on_error `fail`, StorageError for trouble with OUT.
    """
    start = time.monotonic()
    _core.cpu_path()  # an unusable MEDPREP_CPU is refused before anything is planned or written
    say = say or (lambda line: None)
    with privacy.nameless_errors(src, private=bool(data.private) or _is_private(out)):
        plan = prepare(src, out, data, run, say=say)
    with privacy.nameless_errors(src, private=plan.private):
        return _run_plan(src, out, plan, run, stop, progress, say, start)


def _is_private(out: Path) -> bool:
    """True when OUT has a readable plan that is private; an unreadable one is reported later."""
    with contextlib.suppress(MedprepError):
        return load_plan(out).private
    return False


def _run_plan(
    src: Path,
    out: Path,
    plan: Plan,
    run: RunOptions,
    stop: Stop | None,
    progress: Callable[[int], Progress] | None,
    say: Say,
    start: float,
) -> ShardReport:
    chosen = [shard for shard in plan.shards if _is_in_part(shard, run.part)]
    missing = [shard for shard in chosen if not is_done(out, plan, shard)]
    if len(missing) < len(chosen):
        say(f"{len(chosen) - len(missing)} of {len(chosen)} shards are there already")
    result = _run_missing(src, out, plan, missing, run, stop, progress)
    if result.stopped:
        left = len(missing) - result.shards
        raise StoppedError(
            f"stopped safely with {left} of {len(chosen)} shards to do",
            hint="run the same command again to go on",
        )
    if run.part is None:
        return _finish(out, plan, run, result, len(chosen) - len(missing), start)
    return _part_report(out, plan, chosen, run, result, len(chosen) - len(missing), start)


def prepare(src: Path, out: Path, data: DataOptions, run: RunOptions, *, say: Say) -> Plan:
    """The plan in OUT when it agrees with the options, else a new one, written."""
    check_out(src, out)
    if run.overwrite:
        remove_ours(out)
    _core.remove_stale_temps(str(out))
    if has_plan(out):
        plan = load_plan(out)
        refuse_difference(plan, data, out)
        if run.part is None:  # parts trust the plan: listing SRC once is enough
            refuse_new_images(plan, src, out, key_file=data.key_file)
        return _restore_samples(src, out, plan, data, run, say=say)
    if run.part is not None:
        raise UsageError(
            f"--part {run.part[0]}/{run.part[1]}: no plan in {out}",
            hint="run `medprep plan SRC OUT` once before the array starts",
        )
    refuse_foreign(out)
    planned = make_plan(src, out, data, threads=run.num_threads)
    for note in planned.notes:
        say(note)
    save(out, planned, data)
    return planned.plan


def save(out: Path, planned: Planned, data: DataOptions) -> None:
    """Write a plan, and the private map when asked for. Raises NoInputError for an empty plan."""
    make_folder(out)
    if not planned.samples:
        _write_failures(out, (failure.to_json() for failure in planned.plan.failures))
        raise NoInputError(
            f"no usable input: all {len(planned.plan.failures)} were refused",
            hint=f"see {out / 'failures.jsonl'}",
        )
    if data.private_map is not None:
        privacy.write_private_map(
            data.private_map, ((s.id, s.path, s.frame) for s in planned.samples), out=out
        )
    write_plan(out, planned.plan, planned.samples)


def merge(out: Path) -> JsonObject:
    """Make samples.jsonl, failures.jsonl and the manifest of all shards; returns the summary.

    Raises UsageError when OUT has no plan or shards are missing (they are counted), NoInputError
    when nothing could be stored.
    """
    plan = load_plan(out)
    missing = [shard.name for shard in plan.shards if not is_done(out, plan, shard)]
    if missing:
        raise UsageError(
            f"{out}: {len(missing)} of {len(plan.shards)} shards are not done, first {missing[0]}",
            hint="run the missing --part, or `medprep shard SRC OUT` for all of them",
        )
    try:
        _refuse_all_failed(out, plan)
        summary: JsonObject = json.loads(_core.merge(str(out)))
    finally:
        if plan.private:
            # The plan's samples are the one file with paths; a rerun would plan the same again.
            _remove_samples(out, private=True)
    return summary


def is_done(out: Path, plan: Plan, shard: PlannedShard) -> bool:
    """True when the shard needs no work: its record belongs to the plan, the file has its size."""
    planned = json.dumps(shard.to_json())
    return _core.shard_is_done(str(out), planned, plan.fingerprint, plan.samples_sha256)


def remove_ours(out: Path) -> None:
    """Remove what a former run wrote to OUT, the manifest first, and nothing else."""
    if not has_plan(out):
        return
    records = out / RECORDS_FOLDER
    paths = [out / MANIFEST_FILE]
    paths += [path for path in records.glob("*.json") if _RECORD_NAME.fullmatch(path.name)]
    paths += [path for path in out.glob("*.npz") if _SHARD_NAME.fullmatch(path.name)]
    paths += [out / name for name in _OUR_FILES]
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise storage_error(path, "remove", error) from error
    for private in (False, True):
        _remove_samples(out, private=private)


def _remove_samples(out: Path, *, private: bool) -> None:
    try:
        remove_samples(out, private=private)
    except OSError as error:
        raise storage_error(samples_path(out, private=private), "remove", error) from error


def refuse_foreign(out: Path) -> None:
    """Raise UsageError when OUT holds shards or a manifest without a plan: they are not ours."""
    if not out.is_dir():
        return
    foreign = sorted(path.name for path in out.glob("*.npz"))
    foreign += [MANIFEST_FILE] if (out / MANIFEST_FILE).exists() else []
    if foreign:
        raise UsageError(
            f"OUT {out}: holds {foreign[0]!r} but no plan", hint="choose a new or empty folder"
        )


def _restore_samples(
    src: Path, out: Path, plan: Plan, data: DataOptions, run: RunOptions, *, say: Say
) -> Plan:
    """Make sure that plan-samples.jsonl is there and the one of the plan."""
    state = check_samples(out, plan)
    if state is None or (plan.private and state == "missing" and _is_complete(out, plan)):
        return plan
    if state == "missing" and run.part is None:
        say("planning again: plan-samples.jsonl is missing")
        options = data if not data.is_default else _options_of(plan, data)
        planned = make_plan(src, out, options, threads=run.num_threads)
        if planned.plan.samples_sha256 == plan.samples_sha256:
            write_plan(out, plan, planned.samples)
            return plan
        raise VerificationError(
            f"{out}: SRC gives other samples now than when OUT was planned",
            stage="plan",
            hint="--overwrite makes the data set anew; a private one needs the same --key-file",
        )
    raise VerificationError(
        f"{samples_path(out, private=plan.private)}: {state}, so it does not belong to plan.json",
        stage="plan",
        hint="run `medprep shard SRC OUT` without --part, or --overwrite",
    )


def _options_of(plan: Plan, data: DataOptions) -> DataOptions:
    """The options a plan was made with, as far as its samples depend on them."""
    return DataOptions(
        layout=plan.layout,
        split=plan.options["split"],
        group_by=plan.group_by,
        unlabelled=plan.options["unlabelled"],
        seed=plan.seed,
        private=plan.private,
        keep_captions=plan.options.get("keep_captions", False),
        key_file=data.key_file,
        shard_samples=max((shard.count for shard in plan.shards), default=1),
    )


def _is_complete(out: Path, plan: Plan) -> bool:
    return (out / MANIFEST_FILE).exists() and all(is_done(out, plan, s) for s in plan.shards)


def _run_missing(
    src: Path,
    out: Path,
    plan: Plan,
    missing: list[PlannedShard],
    run: RunOptions,
    stop: Stop | None,
    progress: Callable[[int], Progress] | None,
) -> EngineResult:
    if not missing:
        return EngineResult()
    # From here on OUT is not what an old manifest says.
    (out / MANIFEST_FILE).unlink(missing_ok=True)
    total = sum(shard.count for shard in missing)
    paths = (
        sample.path
        for shard in missing
        for sample in read_samples(out, shard, private=plan.private)
    )
    with _readable_root(src, out, plan, paths) as root:
        job = Job(
            root=str(root),
            out=str(out.resolve()),
            plan=plan,
            shards=tuple(missing),
            kernel=run.kernel,
            on_error=run.on_error,
        )
        return run_job(
            job,
            engine=run.engine,
            threads=run.num_threads,
            scheduler=run.scheduler,
            stop=stop or _core.StopFlag(),
            progress=progress(total) if progress is not None else _say_nothing,
        )


@contextlib.contextmanager
def _readable_root(src: Path, out: Path, plan: Plan, paths: Iterable[str]) -> Iterator[Path]:
    """`readable_root`; in private mode what is wrong with an array file does not name it."""
    with contextlib.ExitStack() as stack:
        try:
            root = stack.enter_context(readable_root(src, out, plan.layout, paths))
        except UsageError as error:
            if not plan.private:
                raise
            listing = not isinstance(error, SourceError)
            raise privacy.without_names(error, src, listing=listing) from None
        yield root


def _finish(
    out: Path, plan: Plan, run: RunOptions, result: EngineResult, resumed: int, start: float
) -> ShardReport:
    summary = merge(out)
    seconds = time.monotonic() - start
    report = ShardReport(
        images=summary["images"],
        failed=summary["failed"],
        shards=summary["shards"],
        seconds=round(seconds, 3),
        images_per_s=_rate(result, seconds),
        stages=_rounded(result),
        digest=summary["digest"],
        out=str(out),
        resumed=resumed,
        bytes=sum((out / shard.file_name).stat().st_size for shard in plan.shards),
        engine=run.engine,
        kernel=run.kernel,
        threads=run.num_threads,
    )
    if result.shards or not (out / "run.json").exists():
        _write_run(out, plan, report)
    return report


def _part_report(
    out: Path,
    plan: Plan,
    chosen: list[PlannedShard],
    run: RunOptions,
    result: EngineResult,
    resumed: int,
    start: float,
) -> ShardReport:
    seconds = time.monotonic() - start
    records = [_record(out, shard) for shard in chosen]
    index, count = run.part or (0, 1)
    return ShardReport(
        images=sum(record["count"] for record in records),
        failed=sum(len(record["failures"]) for record in records),
        shards=len(chosen),
        seconds=round(seconds, 3),
        images_per_s=_rate(result, seconds),
        stages=_rounded(result),
        digest=None,
        out=str(out),
        resumed=resumed,
        bytes=sum(record["bytes"] for record in records),
        engine=run.engine,
        kernel=run.kernel,
        threads=run.num_threads,
        part=f"{index}/{count}",
    )


def _record(out: Path, shard: PlannedShard) -> JsonObject:
    path = out / RECORDS_FOLDER / f"{shard.name}.json"
    try:
        record: JsonObject = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise VerificationError(f"{path}: cannot read the record: {error}") from None
    return record


def _refuse_all_failed(out: Path, plan: Plan) -> None:
    """An empty data set is no data set: say so, keep failures.jsonl, write no manifest."""
    records = (_record(out, shard) for shard in plan.shards)
    if any(record["count"] for record in records):
        return
    failures = [failure.to_json() for failure in plan.failures]
    for shard in plan.shards:
        failures += _record(out, shard)["failures"]
    _write_failures(out, failures)
    raise NoInputError(
        f"no usable input: all {len(failures)} images failed", hint=f"see {out / 'failures.jsonl'}"
    )


def _write_failures(out: Path, failures: Iterable[JsonObject]) -> None:
    lines = (json.dumps(failure, ensure_ascii=False) + "\n" for failure in failures)
    write_atomically(out / "failures.jsonl", (line.encode() for line in lines))


def _write_run(out: Path, plan: Plan, report: ShardReport) -> None:
    """run.json: what made the data set. It may differ between runs, so no digest covers it."""
    core = _core.__version__
    content = {
        "versions": {
            # They have one version; importlib.metadata would take 30 ms to say so.
            "medprep": core,
            "core": core,
            "python": platform.python_version(),
        },
        "cpu_path": _core.cpu_path(),
        **report.to_json(),
    }
    if plan.private:
        content.pop("out")
    else:
        content["host"] = platform.node()
    write_atomically(out / "run.json", (json.dumps(content, indent=1) + "\n").encode())


def _say_nothing(images: int, failed: int, shards: int) -> None:
    pass


def _is_in_part(shard: PlannedShard, part: tuple[int, int] | None) -> bool:
    return part is None or shard.index % part[1] == part[0]


def _rate(result: EngineResult, seconds: float) -> float:
    done = result.images + result.failed
    return round(done / seconds, 2) if done and seconds > 0 else 0.0


def _rounded(result: EngineResult) -> dict[str, float]:
    return {name: round(seconds, 3) for name, seconds in result.stages.items()}
