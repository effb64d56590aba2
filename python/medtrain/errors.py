"""The errors that medtrain raises: medprep's, so that one exit code table serves both."""

from __future__ import annotations

from medprep.errors import (
    ConfigError,
    ExtraMissingError,
    InterruptedRunError,
    MedprepError,
    StoppedError,
    StorageError,
    UsageError,
    VerificationError,
)

__all__ = [
    "CheckpointError",
    "ConfigError",
    "ExtraMissingError",
    "InterruptedRunError",
    "MedprepError",
    "StoppedError",
    "StorageError",
    "UsageError",
    "VerificationError",
]


class CheckpointError(VerificationError):
    """A checkpoint that is torn, altered or belongs to other data or another model."""
