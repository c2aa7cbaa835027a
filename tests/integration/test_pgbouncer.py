"""Through Debian's PgBouncer: session pooling works, everything else is refused before it does harm."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import psycopg
import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from ops.kit.errors import DiffersError
from ops.kit.postgres import database
from ops.migrate.run import migrate, packaged_migrations
from processors import postgres_pool
from processors.metrics import ProcessorMetrics
from processors.model import Claim
from processors.pause import CHANNEL, PauseSwitch
from processors.postgres_pool import make_pool
from processors.postgres_state import PostgresState
from runtime.errors import RefusedError, StateUnavailableError
from runtime.settings import DatabaseSettings
from sandbox.devstack.stack import Devstack, DevstackConfig
from schemas.identity import ClaimKey
from tests.support.cli import run
from tests.support.pgbouncer import pgbouncer
from tests.support.waiting import until

pytestmark = pytest.mark.server
REMEDY = "pool_mode = session"
SHARED = ("transaction", "statement")
LOG = "ringover.raw.v1@1"


@pytest.fixture(scope="module")
def stack() -> Iterator[Devstack]:
    with Devstack(DevstackConfig(kafka=False)) as running:
        yield running


@pytest.fixture
def server_url(stack: Devstack) -> Iterator[str]:
    """A migrated database, the same for all tests, at PostgreSQL itself; what a test wrote is gone."""
    migrate(stack.database_url, packaged_migrations())
    yield stack.database_url
    with psycopg.connect(stack.database_url, autocommit=True) as connection:
        connection.execute("TRUNCATE log, claim, progress, conflict, pause")


@pytest.fixture(autouse=True)
def quick_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_pool, "WAIT_FOR_CONNECTION_SECONDS", 2)


@asynccontextmanager
async def state_at(url: str, *, connections: int = 4) -> AsyncIterator[PostgresState]:
    pool = make_pool(url, connections=connections)
    await pool.open()
    try:
        yield PostgresState(pool, LOG)
    finally:
        await pool.close()


def shown(url: str, name: str) -> object:
    """A setting as another client of the pooler finds it, in the session that was given back last."""
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(f"SHOW {name}".encode()).fetchone()
    assert row is not None
    return row[0]


@pytest.mark.parametrize("mode", SHARED)
async def test_the_processors_state_refuses_a_pooler_that_shares_sessions_and_leaves_no_setting_in_one(
    server_url: str, mode: str
) -> None:
    with pgbouncer(server_url, mode) as url:
        async with state_at(url) as state:
            with pytest.raises(RefusedError, match=REMEDY):
                await state.check()

        assert shown(url, "statement_timeout") == "0"


async def test_a_pooler_that_shares_sessions_is_seen_while_others_use_it(server_url: str) -> None:
    with pgbouncer(server_url, "transaction") as url:

        async def other() -> None:
            async with await psycopg.AsyncConnection.connect(
                url, autocommit=True, prepare_threshold=None
            ) as connection:
                while True:
                    await connection.execute("SELECT pg_backend_pid()")

        busy = [asyncio.create_task(other()) for _ in range(6)]
        try:
            for _ in range(10):
                with pytest.raises(DiffersError, match=REMEDY):
                    async with database(DatabaseSettings(database_url=SecretStr(url))):
                        pass
        finally:
            for task in busy:
                task.cancel()
            await asyncio.gather(*busy, return_exceptions=True)


@pytest.mark.parametrize("mode", SHARED)
async def test_migrate_and_the_commands_refuse_a_pooler_that_shares_sessions_with_exit_code_3(
    server_url: str, mode: str
) -> None:
    with pgbouncer(server_url, mode) as url:
        migrated = await run({"DATABASE_URL": url}, "migrate", expect=3)
        claims = await run({"DATABASE_URL": url, "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}, "rewind", "log", expect=3)

        assert REMEDY in migrated.err
        assert REMEDY in claims.err
        assert shown(url, "statement_timeout") == "0"


async def test_session_pooling_works_and_what_is_set_does_not_leak(server_url: str) -> None:
    with pgbouncer(server_url, "session") as url:
        migrated = await run({"DATABASE_URL": url}, "migrate", expect=0)
        async with state_at(url) as state:
            await state.check()

            async def claim_in(number: int) -> int | None:
                partition = state.partition(number)
                await partition.open(0)
                for offset in range(20):
                    key = ClaimKey(f"€-{number}-{offset}")
                    await partition.claim(offset, offset + 1, [Claim(key, offset, 0, 1, 1)])
                return await partition.progress()

            assert await asyncio.gather(*map(claim_in, range(12))) == [20] * 12

        assert "nothing to do" in migrated.out
        assert [shown(url, name) for name in ("statement_timeout", "lock_timeout", "DateStyle")] == [
            "0",
            "0",
            "ISO, MDY",
        ]


async def test_a_pause_comes_through_session_pooling(server_url: str) -> None:
    with pgbouncer(server_url, "session") as url:
        pause = PauseSwitch(url, "normalizer", ProcessorMetrics(CollectorRegistry()))
        watching = asyncio.create_task(pause.watch())
        try:
            async with asyncio.timeout(30):
                await pause.running.wait()
                async with database(DatabaseSettings(database_url=SecretStr(url))) as connection:
                    await connection.execute(
                        "INSERT INTO pause VALUES ('normalizer', now() + interval '1 minute', 'of the test')"
                    )
                    await connection.execute(f"NOTIFY {CHANNEL}")
                await pause.paused.wait()
        finally:
            watching.cancel()
            await asyncio.wait([watching])

        assert pause.ordered


async def test_a_session_pool_that_is_used_up_is_unavailable_and_said_so(server_url: str) -> None:
    with pgbouncer(server_url, "session", pool_size=1) as url:
        async with state_at(url, connections=1) as state:

            async def told() -> bool:
                try:
                    await state.check()
                except StateUnavailableError as error:
                    return "pool" in str(error) or "no connection in time" in str(error)
                return False

            assert await until(told, seconds=60, what="a check that says so")
