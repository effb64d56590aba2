"""`medprep synth OUT`: a made-up, learnable image collection."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from medprep.cli.command import VerbCommand
from medprep.cli.options import out_argument
from medprep.cli.output import Output, output_options

HELP = """\
Example: medprep synth photos/ --kind fundus --images 240 --seed 1

Make up photographs of the back of the eye, with patients and labels.

Two classes, glaucoma and normal, that differ in the cup-to-disc ratio only: not in size, light,
colour or file size. Two eyes a patient, mostly with the same label. OUT gets one folder per class
and labels.csv (path, label, group, eye). The same options give the same bytes.
"""


@click.command(cls=VerbCommand, help=HELP)
@out_argument
@click.option(
    "--kind", type=click.Choice(("fundus",)), default="fundus", show_default=True,
    help="What to make up.",
)  # fmt: skip
@click.option("--images", type=int, default=240, show_default=True, help="Number of images.")
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed, another set.")
@click.option("--size", type=int, default=256, show_default=True, help="Side in pixels, 64..4096.")
@click.option(
    "--format", "image_format", type=click.Choice(("png", "jpeg")), default="png",
    show_default=True, help="Format of the files.",
)  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Remove an earlier set in OUT first.")
@output_options
def synth(
    out: Path,
    kind: str,
    images: int,
    seed: int,
    size: int,
    image_format: str,
    overwrite: bool,
    output: Output,
) -> None:
    """Write the collection."""
    from medprep.cli.progress import Progress
    from medprep.synth import write_dataset

    progress = Progress(enabled=output.verbosity >= 0).begin(images)
    try:
        report = write_dataset(
            out,
            kind=kind,
            images=images,
            seed=seed,
            size=size,
            image_format=image_format,
            overwrite=overwrite,
            progress=lambda done: progress(done, 0, 0),
        )
    finally:
        progress.close()
    counts = ", ".join(f"{count} {name}" for name, count in report.classes.items())
    output.result(
        f"{report.images} images ({counts}) of {report.patients} patients, "
        f"{report.bytes / 2**20:.1f} MiB, {report.out}",
        asdict(report),
    )
