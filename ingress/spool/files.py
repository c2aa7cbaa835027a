"""Makes the spool's file for its owner only and one process at a time, quarantines a bad one, converts its errors."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from runtime.errors import RefusedError, SpoolUnavailableError

FILE_NAME = "spool.sqlite3"
LOCK_NAME = "spool.lock"
DIRECTORY_MODE = 0o700
BESIDE = ("", "-wal", "-shm")  # the file, and what SQLite keeps beside it
OWNER_ONLY = 0o600  # bodies are personal data

# The file itself is bad, or may not be written: waiting does not help (https://sqlite.org/rescode.html).
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_READONLY}


class DamagedError(Exception):
    """The file is corrupt or read-only: it must be quarantined."""


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the spool's directory alone, which is made if it is missing: two processes would send records out of order.

    The kernel lets go when the process dies.

    Raises:
        RefusedError: another process has it, or it cannot be written.
    """
    try:
        directory.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        descriptor = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT, OWNER_ONLY)
    except OSError as error:
        raise RefusedError(f"the spool directory {directory} cannot be written: {error.strerror}") from error
    try:
        _lock(descriptor, directory)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, directory: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 20).decode(errors="replace").strip() or "unknown"
        raise RefusedError(
            f"the spool directory {directory} is in use by another process (pid {holder}): each ingress needs its own"
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)


def quarantine(path: Path, now: datetime | None = None) -> Path:
    """Rename the file and what is beside it, so that SQLite still finds the parts together; returns the new name.

    Raises:
        OSError: the directory may not be written.
    """
    stamp = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%S.%fZ")
    target = f"{path}.set-aside-{stamp}"
    for suffix in reversed(BESIDE):
        with suppress(FileNotFoundError):
            os.rename(f"{path}{suffix}", f"{target}{suffix}")  # noqa: PTH104 - names, not paths
    _sync(path.parent)
    return Path(target)


def create(path: Path) -> None:
    """Make the file for its owner only, which SQLite would not; what it puts beside it gets the same rights."""
    wal = Path(f"{path}-wal")
    with sqlite_errors():
        if path.exists():
            if path.stat().st_size == 0 and wal.exists() and wal.stat().st_size > 0:
                # SQLite would take the write-ahead log for a leftover and delete it.
                raise DamagedError("the file is empty, but not its write-ahead log")
            return
        if wal.exists() and wal.stat().st_size > 0:
            raise DamagedError("the file is missing, but not its write-ahead log")
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, OWNER_ONLY))
        _sync(path.parent)


def _sync(directory: Path) -> None:
    """Make new names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def sqlite_errors() -> Iterator[None]:
    """Turn SQLite's errors and the disk's into ours.

    Raises:
        DamagedError, SpoolUnavailableError: as the error says.
    """
    try:
        yield
    except sqlite3.Error as error:
        if (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF in _DAMAGE:
            raise DamagedError(str(error)) from error
        raise SpoolUnavailableError(f"the spool: {error}") from error
    except OSError as error:
        raise SpoolUnavailableError(f"the spool: {error.strerror}") from error
