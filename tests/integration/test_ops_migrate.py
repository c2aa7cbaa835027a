"""The migration runner on a real PostgreSQL."""

import asyncio
from collections.abc import Sequence

import psycopg
import pytest

from ops.kit.errors import DiffersError, OpsError
from ops.migrate.plan import Migration
from ops.migrate.run import migrate, packaged_migrations
from tests.support.cli import run

ONE = Migration(1, "one", "CREATE TABLE one (x int); INSERT INTO one VALUES (1)")
TWO = Migration(2, "two", "CREATE TABLE two (x int)")
BROKEN = Migration(2, "broken", "CREATE TABLE half (x int); SELECT no_such_column FROM one")


def rows(database_url: str, query: str) -> Sequence[tuple[object, ...]]:
    with psycopg.connect(database_url) as connection:
        return connection.execute(query.encode()).fetchall()


def test_the_packaged_migrations_apply_and_are_recorded_once(database_url: str) -> None:
    packaged = list(packaged_migrations())

    first = migrate(database_url, packaged)
    second = migrate(database_url, packaged)

    assert (first, second) == (packaged, [])
    recorded = rows(database_url, "SELECT version, name, checksum FROM schema_migration WHERE applied_at IS NOT NULL")
    assert recorded == [(item.version, item.name, item.checksum) for item in packaged]


def test_a_later_file_is_applied_alone(database_url: str) -> None:
    migrate(database_url, [ONE])

    assert migrate(database_url, [ONE, TWO]) == [TWO]
    assert rows(database_url, "SELECT x FROM one") == [(1,)]


def test_a_file_that_fails_leaves_nothing_and_the_ones_before_stay(database_url: str) -> None:
    with pytest.raises(OpsError, match=r"0002_broken failed and was undone: .*no_such_column"):
        migrate(database_url, [ONE, BROKEN])

    assert rows(database_url, "SELECT version FROM schema_migration") == [(1,)]
    assert rows(database_url, "SELECT to_regclass('half')") == [(None,)]


def test_a_changed_file_is_refused_and_nothing_is_applied(database_url: str) -> None:
    migrate(database_url, [ONE])

    with pytest.raises(DiffersError, match="changed after it was applied"):
        migrate(database_url, [Migration(1, "one", ONE.sql + " "), TWO])

    assert rows(database_url, "SELECT to_regclass('two')") == [(None,)]


def test_a_newer_database_is_refused(database_url: str) -> None:
    migrate(database_url, [ONE, TWO])

    with pytest.raises(DiffersError, match="use a newer version"):
        migrate(database_url, [ONE])


async def test_runners_at_the_same_time_apply_each_file_once(database_url: str) -> None:
    done = await asyncio.gather(*(asyncio.to_thread(migrate, database_url, [ONE, TWO]) for _ in range(4)))

    assert sorted(migration.version for each in done for migration in each) == [1, 2]
    assert rows(database_url, "SELECT x FROM one") == [(1,)]


async def test_the_command_says_what_it_applied(database_url: str) -> None:
    env = {"DATABASE_URL": database_url}
    labels = [migration.label for migration in packaged_migrations()]

    first = await run(env, "migrate", "-o", "json", expect=0)
    assert first.json == {"applied": labels}
    assert (await run(env, "migrate", "-o", "json", expect=0)).json == {"applied": []}
    assert (await run(env, "migrate", expect=0)).out == "nothing to do\n"
