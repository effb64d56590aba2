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
    "DivergedError",
    "ExtraMissingError",
    "InterruptedRunError",
    "MedprepError",
    "OutOfMemoryError",
    "PeerLostError",
    "StoppedError",
    "StorageError",
    "UsageError",
    "VerificationError",
]


class DivergedError(MedprepError):
    """Training gave losses or gradients that are not finite, too often in a row."""


class OutOfMemoryError(MedprepError):
    """A step needs more memory than there is; the hint says what would fit."""


class CheckpointError(VerificationError):
    """A checkpoint that is torn, altered or belongs to other data or another model."""


class PeerLostError(MedprepError):
    """Another process of the job has ended, so that this one cannot go on."""
