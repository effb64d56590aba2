"""Write into OUT so that nothing half-written is ever visible.

Temporary sibling, fsync, rename, fsync of the folder. Of two writers the last rename wins.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
from collections.abc import Iterable
from pathlib import Path

from medprep.errors import StorageError


def write_atomically(path: Path, content: bytes | Iterable[bytes], *, mode: int = 0o666) -> None:
    """Write a whole file or nothing. `mode` is narrowed by the umask. Raises StorageError."""
    temporary = _temporary(path)
    try:
        _write(temporary, content, mode)
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise storage_error(path, "write", error) from error
    finally:
        _unlink(temporary)


def write_once(path: Path, content: bytes, *, mode: int = 0o666) -> bool:
    """Write a whole file unless there is one already; False when there was. Raises StorageError."""
    temporary = _temporary(path)
    try:
        _write(temporary, content, mode)
        path.hardlink_to(temporary)
        sync_folder(path.parent)
    except FileExistsError:
        return False
    except OSError as error:
        raise storage_error(path, "create", error) from error
    finally:
        _unlink(temporary)
    return True


def make_folder(path: Path, *, mode: int = 0o777) -> None:
    """Create a folder and its parents. `mode` is narrowed by the umask. Raises StorageError."""
    try:
        path.mkdir(mode=mode, parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(path, "create", error) from error


def sync_folder(path: Path) -> None:
    """Make renames in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def storage_error(path: Path, verb: str, error: OSError) -> StorageError:
    """The error of a failed system call on `path`, with its reason."""
    return StorageError(
        f"cannot {verb} {path}: {error.strerror or error}",
        path=str(path),
        stage="store",
        hint="check space, quota and permissions; the same command goes on where it stopped",
    )


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.tmp-{_host()}-{os.getpid()}-{secrets.token_hex(4)}")


def _write(path: Path, content: bytes | Iterable[bytes], mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as stream:
        for chunk in (content,) if isinstance(content, bytes) else content:
            stream.write(chunk)
        stream.flush()
        os.fsync(stream.fileno())


def _unlink(path: Path) -> None:
    """Remove a temporary; when even that fails, the next run removes it."""
    with contextlib.suppress(OSError):
        path.unlink()


def _host() -> str:
    """As the Rust core writes it, so that it finds our leftovers too."""
    return socket.gethostname().replace("/", "")[:64] or "localhost"
