"""Every error a user can meet: what happened, to which file, what to do.

Each class knows its documented exit code (DESIGN section 3). The Rust core raises these classes
too (it looks them up here at run time), and they survive pickling, so a Dask worker's error
arrives with its path, stage and hint.
"""

from __future__ import annotations

from typing import Any, ClassVar


class MedprepError(Exception):
    """An expected failure with a message for the user and an exit code for scripts.

    message: one line; what happened, expected and found.
    path: the file (or keyed id, in private mode) it happened to.
    stage: `read`, `decode`, a step's name, `spec`, `plan`, `store`, `verify`, ...
    hint: what to do about it.
    """

    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        message: str,
        *,
        path: str | None = None,
        stage: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.path = path
        self.stage = stage
        self.hint = hint

    def __str__(self) -> str:
        """The message, then the hint."""
        return f"{self.message}; {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by class, message and keyword arguments."""
        return _rebuild, (type(self), self.message, self.path, self.stage, self.hint)


def _rebuild(
    cls: type[MedprepError], message: str, path: str | None, stage: str | None, hint: str | None
) -> MedprepError:
    return cls(message, path=path, stage=stage, hint=hint)


class UsageError(MedprepError):
    """A command, flag or argument that cannot be right (missing folder, unknown preset, ...)."""

    exit_code = 2


class SourceError(UsageError):
    """SRC cannot be listed as asked; the message names SRC, the user's words and nothing in SRC."""


class ConfigError(UsageError):
    """A configuration value that is unknown, mistyped or contradictory."""


class SpecError(UsageError):
    """A pipeline or shard specification that is wrong, or differs from the one OUT has."""


class ImageError(MedprepError):
    """One input image is to blame; the run records it and goes on."""


class ReadError(ImageError):
    """The input file cannot be read."""


class DecodeError(ImageError):
    """The bytes are not a whole, undamaged image."""


class LimitError(ImageError):
    """The image asks for more than the caps allow (DESIGN section 6)."""


class UnsupportedError(ImageError):
    """A valid file of a kind that this build does not decode."""


class StepError(ImageError):
    """A pipeline step cannot be applied to this image."""


class NoInputError(MedprepError):
    """No usable input: the folder is empty or nothing in it could be read."""

    exit_code = 3


class VerificationError(MedprepError):
    """Output that does not hold what its manifest says."""

    exit_code = 4


class PrivacyError(MedprepError):
    """Something identifying would reach the output."""

    exit_code = 5


class LeakageError(MedprepError):
    """A patient, lesion or duplicate image crosses splits."""

    exit_code = 6


class StorageError(MedprepError):
    """Reading or writing the output failed (disk full, permission, I/O error)."""

    exit_code = 74


class StoppedError(MedprepError):
    """Stopped safely on a signal; the same command goes on where it stopped."""

    exit_code = 75


class InterruptedRunError(StoppedError):
    """Stopped safely on Ctrl-C."""

    exit_code = 130


class ExtraMissingError(UsageError):
    """An optional dependency is needed; the message names the command that installs it."""


class FailedInputError(MedprepError):
    """An input failed and `--on-error fail` was asked for."""

    exit_code = 1
