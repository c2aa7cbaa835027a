"""Locks files, advisory: the kernel releases the locks when their last holder dies, however it dies."""

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

POLL_SECONDS = 0.05


@contextlib.contextmanager
def file_lock(path: Path, *, give_up: Callable[[str], None]) -> Iterator[int]:
    """Holds an exclusive lock on `path`; yields its descriptor.

    Args:
        path: is created, and never removed: removing a lock file would let two holders in.
        give_up: is called with the text of the file, usually its holder's pid, each time the
            lock is found taken; ends the wait by raising.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        while not _try_lock(descriptor):
            give_up(path.read_text(encoding="ascii", errors="replace").strip())
            time.sleep(POLL_SECONDS)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode("ascii"), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
