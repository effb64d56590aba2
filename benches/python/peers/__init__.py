"""Who is compared: one small file per peer, each as a competent user would write it.

A chain peer has `make(recipe) -> Chain`: encoded bytes in memory to one 8-bit sample, one thread.
A data-set peer goes from files to an archive on disk; see `dask_batches` and `source_recipe`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np

from medprep.pipeline import PipelineSpec
from medprep.steps import Clahe, Gamma, Median


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The values of a pipeline, as peers need them; None where a step is not wanted."""

    grey: bool
    height: int
    width: int
    clip_limit: float | None
    tiles: int | None
    gamma: float | None
    median: int | None
    spec: PipelineSpec
    is_post_chain: bool = False


def recipe_of(spec: PipelineSpec, *, is_post_chain: bool = False) -> Recipe:
    """The recipe of a pipeline that stretches by area, the only kind that is compared.

    is_post_chain: what comes before and the resize itself belong to `prepare`. A fast decode is
    medprep's own: the others decode exactly.
    """
    assert (spec.resize.mode, spec.resize.interpolation) == ("stretch", "area")
    clahe = next((step for step in spec.steps if isinstance(step, Clahe)), None)
    return Recipe(
        grey=spec.decode.channels == "grey",
        height=spec.resize.height,
        width=spec.resize.width,
        clip_limit=clahe.clip_limit if clahe else None,
        tiles=clahe.tiles if clahe else None,
        gamma=next((step.gamma for step in spec.steps if isinstance(step, Gamma)), None),
        median=next((step.size for step in spec.steps if isinstance(step, Median)), None),
        spec=spec,
        is_post_chain=is_post_chain,
    )


def _same(data: bytes) -> bytes:
    return data


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """What a peer does with one image.

    run: timed; gets what `prepare` made of the file's bytes, outside the measured time.
    claims_opencv_pixels: the samples are promised to equal those of OpenCV; that is checked.
    note: in what the work differs from the OpenCV chain, if it does.
    """

    run: Callable[[Any], np.ndarray | None]
    prepare: Callable[[bytes], Any] = _same
    claims_opencv_pixels: bool = False
    note: str = ""


class ChainModule(Protocol):
    """A file of this folder."""

    def make(self, recipe: Recipe) -> Chain: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """An entry of the list.

    needs: the modules it imports. distributions: where its versions are looked up.
    floor: of which format this is the bare decoder, None for a whole chain.
    """

    name: str
    module: str
    needs: tuple[str, ...]
    distributions: tuple[str, ...]
    floor: str | None = None

    def missing(self) -> str | None:
        """The first module that is not installed."""
        return next((name for name in self.needs if not _is_installed(name)), None)

    def versions(self) -> dict[str, str]:
        """The versions of those of its distributions that are installed."""
        found = {}
        for name in self.distributions:
            try:
                found[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                continue
        return found


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package it is a part of
        return False


OPENCV = "OpenCV"
MEDPREP = "medprep"
_OPENCV = ("opencv-python-headless", "opencv-python")

# OpenCV first: it is the baseline. Of the floors of one format the first that is installed counts.
CHAIN_PEERS = (
    Peer(name=OPENCV, module="opencv_chain", needs=("cv2",), distributions=_OPENCV),
    Peer(
        name="bare decoder: libjpeg-turbo (simplejpeg)",
        module="jpeg_floor",
        needs=("simplejpeg",),
        distributions=("simplejpeg",),
        floor="jpeg",
    ),
    Peer(
        name="bare inflate: libdeflate (deflate)",
        module="inflate_libdeflate",
        needs=("deflate",),
        distributions=("deflate",),
        floor="png",
    ),
    Peer(
        name="bare inflate: ISA-L (isal)",
        module="inflate_isal",
        needs=("isal",),
        distributions=("isal",),
        floor="png",
    ),
    Peer(
        name="bare inflate: zlib",
        module="inflate_zlib",
        needs=("zlib",),
        distributions=(),
        floor="png",
    ),
    Peer(name=MEDPREP, module="medprep_chain", needs=("medprep",), distributions=("medprep",)),
    Peer(name="Pillow", module="pillow_chain", needs=("PIL",), distributions=("pillow",)),
    Peer(
        name="albumentations",
        module="albumentations_chain",
        needs=("albumentations", "cv2"),
        distributions=("albumentations", "albumentationsx"),
    ),
    Peer(
        name="kornia-rs",
        module="kornia_chain",
        needs=("kornia_rs",),
        distributions=("kornia-rs",),
    ),
    Peer(
        name="pyvips",
        module="pyvips_chain",
        needs=("pyvips",),
        distributions=("pyvips", "pyvips-binary"),
    ),
    Peer(
        name="DALI's CPU path",
        module="dali_chain",
        needs=("nvidia.dali",),
        distributions=("nvidia-dali-cuda120", "nvidia-dali-cuda130"),
    ),
)


def chain_peers(
    image_format: str, *, has_floor: bool = True, only_opencv: bool = False
) -> tuple[list[Peer], dict[str, str]]:
    """The peers to measure on one format, and the others with the reason.

    image_format: `jpeg` or `png`. Floors of another format are neither: they are no peers of it;
    nor is any where nothing is decoded (has_floor False).
    """
    chosen: list[Peer] = []
    left_out: dict[str, str] = {}
    for peer in CHAIN_PEERS:
        if peer.floor not in (None, image_format if has_floor else None):
            continue
        if only_opencv and not peer.floor and peer.name not in (OPENCV, MEDPREP):
            left_out[peer.name] = "this line is against OpenCV"
            continue
        missing = peer.missing()
        if missing is not None:
            left_out[peer.name] = f"{missing} is not installed"
        elif peer.floor and any(other.floor for other in chosen):
            continue  # one floor is enough
        else:
            chosen.append(peer)
    return chosen, left_out
