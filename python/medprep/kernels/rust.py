"""The pipeline of the Rust core, image by image."""

from __future__ import annotations

from medprep import _core
from medprep.pipeline import PipelineSpec
from medprep.types import ImageU8


class RustKernel:
    """`_core.apply` with one specification."""

    def __init__(self, spec: PipelineSpec, *, keep_damaged: bool = False) -> None:
        self._spec_json = spec.canonical()
        self._keep_damaged = keep_damaged

    def __call__(self, data: bytes) -> ImageU8:
        """Encoded bytes to (H, W, C) uint8. Raises ImageError when this image is to blame."""
        return _core.apply(data, self._spec_json, self._keep_damaged)
