"""Makes or finds the data directory of a devstack, locks it against a second one, and sweeps abandoned ones."""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from sandbox.devstack.errors import DataDirInUseError, disk_errors
from sandbox.devstack.locks import file_lock
from sandbox.devstack.processes import is_ending
from sandbox.devstack.progress import plain_console

LOCK_NAME = "devstack.lock"
TEMPORARY_PREFIX = "ringover-devstack-"
ORPHAN_SECONDS = 60.0  # how long a killed devstack and its children may take to die
SAY_AFTER_SECONDS = 1.0


def open_data_dir(chosen: Path | None, stack: ExitStack) -> Path:
    """Makes the directory; a temporary one is removed when `stack` unwinds."""
    if chosen is None:
        _sweep(Path(tempfile.gettempdir()))
        with disk_errors(Path(tempfile.gettempdir())):
            directory = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX))
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        if os.geteuid() == 0:
            directory.chmod(0o711)  # PostgreSQL runs as another user then and must get through
        return directory
    with disk_errors(chosen):
        chosen.mkdir(parents=True, exist_ok=True)
    return chosen.resolve()


def lock_data_dir(data_dir: Path, stack: ExitStack) -> int:
    """Locks the data directory until `stack` unwinds and every child has ended."""
    with disk_errors(data_dir):
        lock = file_lock(data_dir / LOCK_NAME, give_up=_refuse(data_dir, time.monotonic() + ORPHAN_SECONDS))
        return stack.enter_context(lock)


def _refuse(data_dir: Path, deadline: float) -> Callable[[str], None]:
    """Waits only for children that are about to die because their devstack has, and says so."""
    say_at = time.monotonic() + SAY_AFTER_SECONDS

    def check(holder: str) -> None:
        nonlocal say_at
        alive = holder.isdigit() and not is_ending(int(holder))
        if time.monotonic() > say_at:
            say_at = deadline
            plain_console().print(f"devstack: waiting for the servers of a devstack that was killed to end: {data_dir}")
        if alive or time.monotonic() > deadline:
            who = f"another devstack (pid {holder})" if alive else "a server of an earlier devstack"
            raise DataDirInUseError(
                f"the data directory {data_dir} is in use by {who}", hint="stop it, or choose another directory"
            )

    return check


def _sweep(directory: Path) -> None:
    """Removes the temporary directories of devstacks that were killed before they could do so."""
    for lock in directory.glob(f"{TEMPORARY_PREFIX}*/{LOCK_NAME}"):
        with contextlib.suppress(DataDirInUseError, OSError):
            # Until a holder's pid is written there, a devstack is being born: not ours to judge.
            if lock.stat().st_size and lock.stat().st_uid == os.geteuid():
                with file_lock(lock, give_up=_refuse(lock.parent, deadline=0.0)):
                    shutil.rmtree(lock.parent)
