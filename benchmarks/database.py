"""Makes the benchmark's databases: one with many claims once, and a copy for each round, so that all begin alike."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from ops.migrate.run import migrate, packaged_migrations

EVENTS_A_CALL = 2
STATEMENT_SECONDS = 900  # 50 million claims take a minute or two on a quiet machine

# The order of the log: calls one after another, both events of each. Owners are long before what a round reads.
_CLAIMS = """
INSERT INTO claim (log_id, idempotency_key, partition, owner_offset, owner_time, content_hash, records)
SELECT %(log_id)s, 'ringover:call.' || event || ':ro_call_' || lpad(call::text, 12, '0'),
    call %% 12, call, timestamptz '2026-01-01' + call * interval '1 second', call, 1
FROM generate_series(%(first)s::bigint, %(last)s::bigint - 1) AS call, unnest(ARRAY['ended', 'started']) AS event
"""


class Databases:
    """Makes the databases of one run, all on one server."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._claims: dict[str, int] = {}

    def url(self, name: str) -> str:
        """Locate a database."""
        return urlsplit(self._url)._replace(path=f"/{name}").geturl()

    def create(self, name: str) -> str:
        """Make an empty database with the current schema; returns its URL."""
        self._run(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        migrate(self.url(name), packaged_migrations())
        return self.url(name)

    @contextmanager
    def copy(self, template: str, name: str) -> Iterator[str]:
        """Copy a database nobody uses; yields the copy's URL, and drops it afterwards."""
        words = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
        self._run(words.format(sql.Identifier(name), sql.Identifier(template)))
        os.sync()  # what the copy left to write would be written while the round is measured
        try:
            yield self.url(name)
        finally:
            self.drop(name)

    def drop(self, name: str) -> None:
        """Remove a database, whoever is connected."""
        self._run(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def preload(self, name: str, claims: int, log_name: str) -> None:
        """Fill a database up to so many claims of a log; those that it has stay."""
        first = self._claims.get(name, 0)
        with psycopg.connect(self.url(name), autocommit=True) as connection:
            connection.execute(f"SET statement_timeout = '{STATEMENT_SECONDS}s'")
            log_id = connection.execute(
                "INSERT INTO log (name) VALUES (%s) ON CONFLICT (name) DO UPDATE SET name = EXCLUDED.name"
                " RETURNING log_id",
                (log_name,),
            ).fetchone()
            assert log_id is not None
            # Far faster than keeping the indexes up to date, and the rows lie as they would.
            connection.execute("ALTER TABLE claim DROP CONSTRAINT claim_pkey")
            calls = {"first": first // EVENTS_A_CALL, "last": claims // EVENTS_A_CALL}
            connection.execute(_CLAIMS, {"log_id": log_id[0], **calls})
            connection.execute("ALTER TABLE claim ADD PRIMARY KEY (log_id, idempotency_key)")
            connection.execute("VACUUM (FREEZE, ANALYZE) claim")
            connection.execute("CHECKPOINT")
        self._claims[name] = claims

    def claims(self, name: str) -> int:
        """Tell how many claims a database was filled up to."""
        return self._claims.get(name, 0)

    def counter(self, url: str) -> Callable[[], int]:
        """Make a function that tells how many records all partitions together have claimed."""
        connection = psycopg.connect(url, autocommit=True)

        def ask() -> int:
            row = connection.execute("SELECT coalesce(sum(next_offset), 0)::bigint FROM progress").fetchone()
            assert row is not None
            return int(row[0])

        return ask

    def rows(self, url: str) -> int:
        """Count the claims."""
        with psycopg.connect(url) as connection:
            row = connection.execute("SELECT count(*) FROM claim").fetchone()
        assert row is not None
        return int(row[0])

    def _run(self, statement: sql.Composed) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(statement)
