"""Applies the SQL files of `processors/migrations` to the database; safe to run twice, or from two places at once."""

from collections.abc import Callable, Sequence
from importlib import resources

import psycopg

from ops.kit.errors import OpsError
from ops.kit.postgres import database_errors, words
from ops.migrate.plan import Applied, Migration, parse, plan
from runtime.postgres import connect_blocking

# Any number that nobody else uses: held to the end of each transaction, so only one runner is in one at a time.
ADVISORY_LOCK = 0x52494E47  # "RING"

CREATE_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migration (
    version    int PRIMARY KEY,
    name       text NOT NULL,
    checksum   text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


def packaged_migrations() -> tuple[Migration, ...]:
    """The migrations that ship with the processors."""
    directory = resources.files("processors") / "migrations"
    return parse((file.name, file.read_text(encoding="utf-8")) for file in directory.iterdir() if file.is_file())


def migrate(
    database_url: str, migrations: Sequence[Migration], *, applied: Callable[[Migration], None] = lambda _done: None
) -> list[Migration]:
    """Bring the database up to date, one transaction per file; calls `applied` after each commit.

    Raises:
        DiffersError: the database does not belong to these files; nothing was touched.
        OpsError: the database is away, refuses, or a file fails (its transaction is undone, the ones before stay).
    """
    done = []
    with database_errors():
        opened = connect_blocking(database_url)
    with opened as connection, database_errors(connection):
        while (migration := _apply_next(connection, migrations)) is not None:
            done.append(migration)
            applied(migration)
    return done


def _apply_next(connection: psycopg.Connection, migrations: Sequence[Migration]) -> Migration | None:
    # The plan is made anew under the lock each time: another runner may have applied the next one meanwhile.
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [ADVISORY_LOCK])
        connection.execute(CREATE_TABLE)
        rows = connection.execute("SELECT version, name, checksum FROM schema_migration ORDER BY version")
        migration = next(iter(plan(migrations, [Applied(*row) for row in rows])), None)
        if migration is None:
            return None
        try:
            connection.execute(migration.sql.encode())
        except psycopg.Error as error:
            raise OpsError(f"migration {migration.label} failed and was undone: {words(error)}") from error
        connection.execute(
            "INSERT INTO schema_migration (version, name, checksum) VALUES (%s, %s, %s)",
            [migration.version, migration.name, migration.checksum],
        )
        return migration
