"""The pipeline of the Rust core, image by image."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from medprep import _core
from medprep.pipeline import PipelineSpec


class RustKernel:
    """`_core.apply` with one specification."""

    def __init__(self, spec: PipelineSpec, *, keep_damaged: bool = False) -> None:
        self._spec_json = spec.canonical()
        self._keep_damaged = keep_damaged

    def __call__(self, data: bytes, *, frame: int | None = None) -> NDArray[Any]:
        """Encoded bytes to (H, W, C) of the pipeline's dtype. Raises ImageError of this image."""
        return _core.apply(data, self._spec_json, self._keep_damaged, frame)
