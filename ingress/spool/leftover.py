"""Spools that nobody would drain, because there are fewer or more workers than before."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from ingress.spool.files import FILE_NAME
from runtime.errors import RefusedError


def directory_of(directory: Path, worker: int, workers: int) -> Path:
    """Where a worker's spool is below INGRESS_SPOOL_DIR; a single process has that itself."""
    return directory if workers == 1 else directory / f"worker-{worker}"


def refuse_leftovers(directory: Path, workers: int) -> None:
    """Refuse to leave records behind that none of so many workers would send.

    Raises:
        RefusedError: there are such; the message has the command that sends them.
    """
    owned = {directory_of(directory, worker, workers) for worker in range(workers)}
    for found in _spools(directory):
        if found not in owned and _holds_records(found / FILE_NAME):
            # Log lines are cut, so the command comes first.
            raise RefusedError(
                f"first run `ringover-ops spool drain --dir {found} --execute`: records are left in it, and none of"
                f" {workers} worker(s) would send them"
            )


def _spools(directory: Path) -> Iterator[Path]:
    for found in (directory, *sorted(directory.glob("worker-*"))):
        if (found / FILE_NAME).exists():
            yield found


def _holds_records(path: Path) -> bool:
    """True also when the file does not tell: then an operator must look."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            return bool(connection.execute("SELECT EXISTS (SELECT 1 FROM record)").fetchone()[0])
    except sqlite3.Error:
        return True
