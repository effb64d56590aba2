"""Who computes pixels: `rust` (the core) or `python` (OpenCV and NumPy, the reference).

Both turn the bytes of one image into the pixels that are stored, in one thread.
"""

from __future__ import annotations

from typing import Any, Protocol

from numpy.typing import NDArray

from medprep.errors import UsageError
from medprep.pipeline import PipelineSpec

KERNEL_NAMES = ("rust", "python")


class Kernel(Protocol):
    """One pipeline, ready to run; safe to call from several threads."""

    def __call__(self, data: bytes, *, frame: int | None = None) -> NDArray[Any]:
        """Encoded bytes to (H, W, C) of the pipeline's dtype. Raises ImageError of this image.

        frame: the number, from 0, of one of a multi-frame DICOM file; None as the pipeline says.
        """
        ...


def make_kernel(name: str, spec: PipelineSpec, *, keep_damaged: bool = False) -> Kernel:
    """The kernel of that name for one pipeline.

    Raises UsageError for an unknown name and ExtraMissingError when OpenCV is not installed.
    """
    # Imported here: `rust` must not need OpenCV.
    if name == "rust":
        from medprep.kernels.rust import RustKernel

        return RustKernel(spec, keep_damaged=keep_damaged)
    if name == "python":
        from medprep.kernels.python import PythonKernel

        return PythonKernel(spec, keep_damaged=keep_damaged)
    raise UsageError(f"unknown kernel {name!r}", hint=f"kernels: {', '.join(KERNEL_NAMES)}")
