"""Tells which migrations to apply: pure. `ops.migrate.run` reads the files and talks to PostgreSQL."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from ops.kit.errors import DiffersError

_FILE_NAME = re.compile(r"(?P<version>[0-9]{4})_(?P<name>[a-z0-9_]+)\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    """Holds a numbered SQL file."""

    version: int
    name: str
    sql: str

    @property
    def label(self) -> str:
        """The file name without its suffix."""
        return f"{self.version:04d}_{self.name}"

    @property
    def checksum(self) -> str:
        """SHA-256 of the file, hex: an applied file never changes, a later change is a new file."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


class Applied(NamedTuple):
    """Holds a row of `schema_migration`."""

    version: int
    name: str
    checksum: str


def parse(files: Iterable[tuple[str, str]]) -> tuple[Migration, ...]:
    """Migrations from (file name, content), in order of their numbers; other files are ignored.

    Raises:
        ValueError: two files have the same number.
    """
    matches = ((_FILE_NAME.fullmatch(file_name), sql) for file_name, sql in files)
    found = sorted(
        (Migration(int(match["version"]), match["name"], sql) for match, sql in matches if match),
        key=lambda found: found.version,
    )
    for one, other in pairwise(found):
        if one.version == other.version:
            raise ValueError(f"two migrations have number {one.version:04d}")
    return tuple(found)


def plan(migrations: Sequence[Migration], applied: Sequence[Applied]) -> tuple[Migration, ...]:
    """What is left to apply, in order, to a database in which `applied` already is.

    Raises:
        DiffersError: the database and the files do not belong together; the message says what to do.
    """
    known = {migration.version: migration for migration in migrations}
    for row in applied:
        migration = known.get(row.version)
        if migration is None:
            raise DiffersError(
                f"the database has migration {row.version:04d}_{row.name}, which this version does not: "
                "use a newer version"
            )
        if migration.checksum != row.checksum:
            raise DiffersError(
                f"migration {migration.label} was changed after it was applied: restore the file, "
                "and put the change into a new one"
            )
    done = {row.version for row in applied}
    pending = tuple(migration for migration in migrations if migration.version not in done)
    latest = max(done, default=0)
    if pending and pending[0].version < latest:
        raise DiffersError(f"migration {pending[0].label} was left out, though {latest:04d} is applied: renumber it")
    return pending
