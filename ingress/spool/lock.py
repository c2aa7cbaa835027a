"""One process at a time: two would send each other's records, out of order."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runtime.errors import RefusedError

LOCK_NAME = "spool.lock"
DIRECTORY_MODE = 0o700


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the spool's directory, which is made if it is missing; the kernel lets go when the process dies.

    Raises:
        RefusedError: another process has it, or it cannot be written.
    """
    try:
        directory.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        descriptor = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
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
