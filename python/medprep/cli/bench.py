"""`medprep bench SRC`: engine and kernel pairs compared on the user's own images."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import click

from medprep.cli.command import VerbCommand
from medprep.cli.options import Words, data_options, src_argument
from medprep.cli.output import Output, output_options
from medprep.engines import ENGINE_NAMES
from medprep.errors import StorageError, UsageError
from medprep.kernels import KERNEL_NAMES
from medprep.options import DataOptions

HELP = """\
Example: medprep bench photos/ --threads 1,2,4 --out bench/

Compare engines and kernels on the images of SRC.

Every round runs each combination once on the same plan, in an order of its own; a first round
warms up and is not counted. The table gives medians, spread, speedup against one named baseline
and scaling. Start-up of a Dask cluster is measured apart. Shards go to a temporary folder and are
deleted. Where SRC holds DICOM, reading its headers is compared too, with pydicom, sequential and
under Dask, if that is installed. If two combinations make different data sets, the bench is
refused (exit code 4).

\b
medprep bench photos/ --preset glaucoma --engines sequential,threads --kernels python,rust
"""


def _words(known: tuple[str, ...]) -> Words:
    def parse(text: str) -> tuple[str, ...]:
        chosen = tuple(word.strip() for word in text.split(","))
        for word in chosen:
            if word not in known:
                raise UsageError(f"{word!r} is none of {', '.join(known)}")
        return chosen

    return Words("A,B,...", parse)


def _numbers(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdigit() and int(part) > 0 for part in parts):
        raise UsageError(f"expected whole numbers of 1 or more such as 1,2,4, got {text!r}")
    return tuple(int(part) for part in parts)


@click.command(cls=VerbCommand, help=HELP)
@src_argument
@click.option(
    "--threads", type=Words("1,2,4", _numbers), default=None,
    help="Threads (dask: worker processes) to try. Default: 1 and all cores.",
)  # fmt: skip
@click.option(
    "--engines", type=_words(ENGINE_NAMES), default="sequential,threads", show_default=True,
    help=f"Any of {', '.join(ENGINE_NAMES)}.",
)  # fmt: skip
@click.option(
    "--kernels", type=_words(KERNEL_NAMES), default="python,rust", show_default=True,
    help=f"Any of {', '.join(KERNEL_NAMES)}; python = OpenCV, the reference.",
)  # fmt: skip
@click.option(
    "--repeats", type=click.IntRange(1), default=3, show_default=True, help="Counted rounds."
)
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path),
    help="Write bench.json, bench.md and bench.png here.",
)  # fmt: skip
@click.option(
    "--scratch", type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Where shards are written for a moment. Default: the system's temporary folder.",
)  # fmt: skip
@data_options
@output_options
def bench(
    src: Path,
    threads: tuple[int, ...] | None,
    engines: tuple[str, ...],
    kernels: tuple[str, ...],
    repeats: int,
    out: Path | None,
    scratch: Path | None,
    data: DataOptions,
    output: Output,
) -> None:
    """Measure and tell."""
    from medprep import machine
    from medprep.bench.arithmetic import configurations
    from medprep.bench.header_tables import header_text
    from medprep.bench.session import BenchOptions, run_bench, write_files
    from medprep.bench.tables import cautions, context_lines, text_table

    # Leave through the clean-up of temporary folders and clusters.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    counts = threads or tuple(sorted({1, machine.cores().usable}))
    options = BenchOptions(
        configurations=configurations(engines, kernels, counts), repeats=repeats, scratch=scratch
    )
    report, comparison = run_bench(src, data, options, progress=output.say)
    for line in context_lines(report):
        output.say(line)
    for line in cautions(report, comparison):
        output.say(line)
    if out is not None:
        try:
            write_files(out, report, comparison)
        except OSError as error:
            raise StorageError(f"{out}: cannot write the report: {error.strerror}") from error
        output.say(f"written: {out / 'bench.md'}, bench.json, bench.png")
    text = text_table(comparison)
    if "headers" in report:
        text = f"{header_text(report['headers'])}\n\n{text}"
    output.result(text, {**report, "out": None if out is None else str(out)})
