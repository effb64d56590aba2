"""What `medprep shard` does with terminal and signals around the run itself."""

from __future__ import annotations

import signal
from pathlib import Path

from medprep import _core
from medprep.agreement import refuse_difference, refuse_new_images
from medprep.cli.output import Output
from medprep.cli.progress import Progress
from medprep.cli.signals import StopSignals
from medprep.errors import InterruptedRunError, StoppedError
from medprep.options import DataOptions
from medprep.plan import Plan, has_plan, load_plan
from medprep.planning import check_out, make_plan
from medprep.privacy import nameless_errors
from medprep.report import ShardReport
from medprep.run import RunOptions, run_shard
from medprep.types import JsonObject


def run_shard_with_signals(
    src: Path, out: Path, data: DataOptions, run: RunOptions, output: Output
) -> ShardReport:
    """Run; stop in good order on the first signal.

    Raises StoppedError (exit 75) or, after Ctrl-C, InterruptedRunError (130).
    """
    stop = _core.StopFlag()
    progress = Progress(enabled=output.verbosity >= 0)
    with StopSignals(stop) as signals:
        try:
            return run_shard(
                src, out, data, run, stop=stop, progress=progress.begin, say=output.say
            )
        except StoppedError as error:
            if signals.received == signal.SIGINT:
                raise InterruptedRunError(error.message, hint=error.hint) from None
            raise
        finally:
            progress.close()


def dry_run_shard(src: Path, out: Path, data: DataOptions, run: RunOptions, output: Output) -> None:
    """Plan, say what would be made, write nothing."""
    with nameless_errors(src, private=bool(data.private)):
        check_out(src, out)
        if has_plan(out) and not run.overwrite:
            made = load_plan(out)
            refuse_difference(made, data, out)
            refuse_new_images(made, src, out, key_file=data.key_file)
        planned = make_plan(src, out, data, threads=run.num_threads, keep_key=False)
    for note in planned.notes:
        output.say(note)
    output.result(
        f"dry run: {describe(planned.plan)}", {**plan_json(planned.plan, out), "dry_run": True}
    )


def describe(plan: Plan) -> str:
    """One line: what the plan holds."""
    per_split = {name: 0 for name in plan.splits}
    for shard in plan.shards:
        per_split[shard.split] += shard.count
    counts = ", ".join(f"{name} {count}" for name, count in per_split.items())
    refused = f", {len(plan.failures)} refused" if plan.failures else ""
    return (
        f"{plan.samples} images ({counts}) of {len(plan.classes)} classes{refused} "
        f"in {len(plan.shards)} shards, {plan.bytes / 2**20:.1f} MiB"
    )


def plan_json(plan: Plan, out: Path) -> JsonObject:
    """The plan as the result of `plan` and `shard --dry-run`."""
    return {
        "images": plan.samples,
        "failed": len(plan.failures),
        "shards": len(plan.shards),
        "bytes": plan.bytes,
        "files": 2 * len(plan.shards) + 6,
        "splits": {
            name: sum(shard.count for shard in plan.shards if shard.split == name)
            for name in plan.splits
        },
        "classes": list(plan.classes),
        "unlabelled": plan.unlabelled,
        "layout": plan.layout,
        "pipeline": dict(plan.spec),
        "fingerprint": plan.fingerprint,
        "image": plan.image.to_json(),
        "private": plan.private,
        "out": str(out),
    }
