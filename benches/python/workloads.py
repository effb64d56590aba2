"""The inputs of the comparison: real folders where given, else made up from a seed."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medprep import _core, pipeline
from medprep.pipeline import Overrides, PipelineSpec
from medprep.synth import write_dataset

JPEG_QUALITY = 92
SEED = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One line of the promise: which images, to which sample.

    folder: under the data folder given by the user. suffixes: of the files taken from there.
    height, width: of generated images, in pixels. in_data_sets: also compared from files to
    archive. is_post_chain: only what follows the resize is timed. only_opencv: against OpenCV and
    the bare decoder, not the other peers.
    """

    name: str
    folder: str
    suffixes: tuple[str, ...]
    height: int
    width: int
    spec: PipelineSpec
    in_data_sets: bool = False
    is_post_chain: bool = False
    only_opencv: bool = False

    @property
    def image_format(self) -> str:
        """`jpeg` or `png`."""
        return "png" if ".png" in self.suffixes else "jpeg"

    @property
    def timed_pixels(self) -> int | None:
        """Of one image where the resize has settled it; None where it is the files' own number."""
        size = self.spec.resize
        return size.height * size.width if self.is_post_chain else None

    @property
    def is_grey(self) -> bool:
        """Decoded to one channel."""
        return self.spec.decode.channels == "grey"


def _fundus(side: int, *, fast: bool = False) -> PipelineSpec:
    overrides = Overrides(size=(side, side), fast_decode=fast or None)
    return overrides.apply(pipeline.preset("glaucoma"))


def _post_chain(side: int) -> Workload:
    return Workload(
        name=f"post-chain {side}",
        folder="fundus-512",
        suffixes=(".png",),
        height=512,
        width=512,
        spec=_fundus(side),
        is_post_chain=True,
        only_opencv=True,
    )


_CXR = Overrides(size=(416, 416), clahe=(2.0, 8)).apply(pipeline.preset("pneumonia"))
_JPEG = (".jpg", ".jpeg")

WORKLOADS = (
    Workload(
        name="JPEG 2480x2048 -> 512",
        folder="fundus-highres",
        suffixes=_JPEG,
        height=2048,
        width=2480,
        spec=_fundus(512),
    ),
    Workload(
        name="JPEG 2480x2048 -> 224",
        folder="fundus-highres",
        suffixes=_JPEG,
        height=2048,
        width=2480,
        spec=_fundus(224),
        in_data_sets=True,
    ),
    Workload(
        name="JPEG 512 -> 224",
        folder="fundus-512",
        suffixes=_JPEG,
        height=512,
        width=512,
        spec=_fundus(224),
        in_data_sets=True,
    ),
    Workload(
        name="grey JPEG 1700x1200 -> 416",
        folder="cxr",
        suffixes=_JPEG,
        height=1200,
        width=1700,
        spec=_CXR,
    ),
    Workload(
        name="PNG 512 -> 224",
        folder="fundus-512",
        suffixes=(".png",),
        height=512,
        width=512,
        spec=_fundus(224),
        in_data_sets=True,
    ),
    _post_chain(224),
    _post_chain(512),
    Workload(
        name="JPEG 2480x2048 -> 224, --fast-decode",
        folder="fundus-highres",
        suffixes=_JPEG,
        height=2048,
        width=2480,
        spec=_fundus(224, fast=True),
        only_opencv=True,
    ),
)


def find_files(
    workload: Workload, data: Path | None, scratch: Path, most: int, *, generated: int
) -> list[Path]:
    """At most `most` files: from the data folder where it has them, else generated in scratch.

    generated: how many are made up, at most; more of them would tell nothing new.
    """
    real = [] if data is None else _real_files(workload, data / workload.folder)
    return (real or _generated_files(workload, scratch, min(most, generated)))[:most]


def _real_files(workload: Workload, folder: Path) -> list[Path]:
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in workload.suffixes)
    # Round robin over classes, so that a few images are not all of the first class.
    by_class: dict[Path, list[Path]] = {}
    for path in files:
        by_class.setdefault(path.parent, []).append(path)
    ranked = [(rank, path) for paths in by_class.values() for rank, path in enumerate(paths)]
    return [path for _, path in sorted(ranked)]


def _generated_files(workload: Workload, scratch: Path, images: int) -> list[Path]:
    """Made-up fundus photographs, cut to shape; the same every time, and shared by size."""
    kind = "grey" if workload.is_grey else "rgb"
    made = scratch / f"{workload.image_format}-{kind}-{workload.height}x{workload.width}"
    if not made.exists():
        photos = scratch / f"{made.name}-photos"
        side = max(workload.height, workload.width, 64)
        write_dataset(photos, images=images, seed=SEED, size=side)
        made.mkdir()
        for path in sorted(photos.rglob("*.png")):
            (made / f"{path.stem}{workload.suffixes[0]}").write_bytes(_cut(path, workload))
            path.unlink()
    return sorted(made.iterdir())


def _cut(photo: Path, workload: Workload) -> bytes:
    from PIL import Image

    with Image.open(photo) as image:
        top, left = (image.height - workload.height) // 2, (image.width - workload.width) // 2
        cut = image.crop((left, top, left + workload.width, top + workload.height))
        if workload.is_grey:
            cut = cut.convert("L")
        if workload.image_format == "png" and cut.size == image.size:
            return photo.read_bytes()
        buffer = io.BytesIO()
        cut.save(buffer, workload.image_format, quality=JPEG_QUALITY)
        return buffer.getvalue()


def describe(files: Sequence[Path], *, is_real: bool) -> dict[str, Any]:
    """The input as reports name it: how many, how large, how well compressed.

    bytes_per_pixel: encoded bytes over source pixels, all files together.
    """
    headers = [_core.probe(path.read_bytes()) for path in files]
    pixels = [int(header["height"]) * int(header["width"]) for header in headers]
    total = sum(path.stat().st_size for path in files)
    return {
        "source": "real" if is_real else f"generated, seed {SEED}",
        "images": len(files),
        "heights": _range([int(header["height"]) for header in headers]),
        "widths": _range([int(header["width"]) for header in headers]),
        "channels": _range([int(header["channels"]) for header in headers]),
        "bytes": total,
        "pixels": sum(pixels),
        "bytes_per_image": total / len(files),
        "bytes_per_pixel": total / sum(pixels),
    }


def _range(values: Sequence[int]) -> list[int]:
    return [min(values), max(values)]
