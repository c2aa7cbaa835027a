"""Sessions in PostgreSQL that are ours to set, and are replaced once they can no longer do their work."""

import asyncio
import os
import signal
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import urlsplit

import psycopg
import pytest
from pydantic import SecretStr

from ops.kit.errors import DiffersError, UnreachableError
from ops.kit.pause import Lease, Timing
from ops.kit.postgres import database
from ops.migrate.run import migrate, packaged_migrations
from processors import postgres_pool, postgres_state
from processors.model import Claim
from processors.postgres_pool import Pool, make_pool
from processors.postgres_state import PostgresState
from runtime.errors import RefusedError, StateUnavailableError
from runtime.postgres import connect
from runtime.settings import DatabaseSettings
from sandbox.devstack.postgres import children_of
from sandbox.devstack.stack import Devstack, DevstackConfig
from schemas.identity import ClaimKey
from tests.support.cli import run
from tests.support.waiting import until

pytestmark = pytest.mark.server
LOG = "ringover.raw.v1@1"
EURO = ClaimKey("ringover:call.ended:€-1")
CLAIMS = [Claim(EURO, 0, 1_767_366_000_000, 5, 1)]
READ_ONLY = "ALTER SYSTEM SET default_transaction_read_only = on"
WRITABLE = "ALTER SYSTEM RESET default_transaction_read_only"


@pytest.fixture(scope="module")
def stack() -> Iterator[Devstack]:
    with Devstack(DevstackConfig(kafka=False)) as running:
        yield running


@pytest.fixture(scope="module")
def other_stack() -> Iterator[Devstack]:
    with Devstack(DevstackConfig(kafka=False)) as running:
        yield running


@pytest.fixture(autouse=True)
def quick_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_pool, "WAIT_FOR_CONNECTION_SECONDS", 1)


def execute(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


@contextmanager
def new_database(stack: Devstack, words: str = "", *, name: str | None = None) -> Iterator[str]:
    name = name or f"test_{uuid.uuid4().hex[:12]}"
    execute(stack.database_url, f"CREATE DATABASE {name} {words}")
    yield urlsplit(stack.database_url)._replace(path=f"/{name}").geturl()
    execute(stack.database_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def url(stack: Devstack) -> Iterator[str]:
    with new_database(stack) as found:
        migrate(found, packaged_migrations())
        yield found


@asynccontextmanager
async def pool_at(url: str, *, connections: int = 2) -> AsyncIterator[Pool]:
    pool = make_pool(url, connections=connections)
    await pool.open()
    try:
        yield pool
    finally:
        await pool.close()


async def works(state: PostgresState) -> bool:
    try:
        await state.check()
        partition = state.partition(0)
        await partition.open(0)
        await partition.claim(0, 1, CLAIMS)
    except StateUnavailableError:
        return False
    return True


@pytest.fixture(params=["LATIN1", "SQL_ASCII", "LATIN9"])
def other_encoding(request: pytest.FixtureRequest, stack: Devstack) -> Iterator[tuple[str, str]]:
    with new_database(stack, f"ENCODING '{request.param}' TEMPLATE template0 LOCALE 'C'") as url:
        yield request.param, url


async def test_a_database_whose_encoding_cannot_hold_every_id_is_refused_in_words(
    other_encoding: tuple[str, str],
) -> None:
    encoding, url = other_encoding
    words = f"encoding {encoding}.*ENCODING 'UTF8' TEMPLATE template0"

    with pytest.raises(DiffersError, match=words):
        migrate(url, packaged_migrations())
    with pytest.raises(DiffersError, match=words):
        async with database(DatabaseSettings(database_url=SecretStr(url))):
            pass
    async with pool_at(url) as pool:
        with pytest.raises(RefusedError, match=words):
            await PostgresState(pool, LOG).check()
    command = await run({"DATABASE_URL": url}, "migrate", expect=3)
    assert "TEMPLATE template0" in command.err


@pytest.mark.parametrize("place", ["environment", "url", "database"])
async def test_an_id_that_latin1_cannot_hold_is_claimed_whatever_encoding_others_ask_for(
    url: str, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    asked = url
    if place == "environment":
        monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    elif place == "url":
        asked = f"{url}?client_encoding=LATIN1"
    else:
        execute(url, f"ALTER DATABASE {urlsplit(url).path[1:]} SET client_encoding = 'LATIN1'")

    async with pool_at(asked) as pool:
        state = PostgresState(pool, LOG)
        await state.check()
        await state.partition(0).open(0)
        assert (await state.partition(0).claim(0, 1, CLAIMS))[EURO] == (0, 0, 5)
    async with database(DatabaseSettings(database_url=SecretStr(asked))) as connection:
        row = await (await connection.execute("SELECT idempotency_key FROM claim")).fetchone()
        assert row == (EURO,)


async def test_times_are_read_whatever_date_style_the_server_has(url: str) -> None:
    execute(url, f"ALTER DATABASE {urlsplit(url).path[1:]} SET DateStyle = 'SQL, DMY'")

    async with database(DatabaseSettings(database_url=SecretStr(url))) as connection:
        row = await (
            await connection.execute("SELECT to_timestamp(0) = %s, to_timestamp(0)", ["1970-01-01Z"])
        ).fetchone()

    assert row is not None
    assert row[0] is True


BREAKING = {
    "read-only": "SET default_transaction_read_only = on",
    "role": "SET ROLE outsider",
    "prepared": "DO 'BEGIN EXECUTE ''DEALLOCATE ALL''; END'",
    "encoding": "SET client_encoding = 'LATIN1'",
    "transaction": "BEGIN",
}


@pytest.mark.parametrize("damage", BREAKING)
async def test_a_session_that_can_no_longer_do_its_work_is_replaced(stack: Devstack, url: str, damage: str) -> None:
    execute(
        stack.database_url,
        "DO 'BEGIN IF to_regrole(''outsider'') IS NULL THEN CREATE ROLE outsider; END IF; END'",
    )
    async with pool_at(url, connections=1) as pool:
        state = PostgresState(pool, LOG)
        await until(lambda: works(state), seconds=30, what="the state")
        for _ in range(10):  # more than it takes until statements are prepared
            assert await works(state)
        connection = await pool.getconn()
        await connection.execute(BREAKING[damage].encode())
        if damage == "transaction":
            connection.pgconn.exec_(b"SELECT no_such_column")
        await pool.putconn(connection)

        await until(lambda: works(state), seconds=30, what="work in another session")
        for _ in range(3):
            assert await works(state)


async def test_sessions_left_on_a_node_that_became_read_only_are_replaced_and_readiness_tells_it(url: str) -> None:
    name = urlsplit(url).path[1:]
    admin = urlsplit(url)._replace(path="/postgres").geturl()
    execute(admin, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    async with pool_at(url) as pool:
        state = PostgresState(pool, LOG)
        with pytest.raises(StateUnavailableError, match="read-only"):
            await state.check()
        execute(admin, f"ALTER DATABASE {name} RESET default_transaction_read_only")

        await until(lambda: works(state), seconds=30, what="work in new sessions")


async def test_after_a_switch_over_sessions_go_to_the_server_that_takes_writes(
    stack: Devstack, other_stack: Devstack
) -> None:
    urls = [stack.database_url, other_stack.database_url]
    name = urlsplit(urls[0]).path[1:]
    for one in urls:
        migrate(one, packaged_migrations())
    hosts = ",".join(urlsplit(one).netloc.partition("@")[2] for one in urls)
    both = f"postgresql://{urlsplit(urls[0]).username}@{hosts}/{name}?target_session_attrs=read-write"
    DatabaseSettings(database_url=SecretStr(both))
    execute(urls[1], READ_ONLY, "SELECT pg_reload_conf()")
    try:
        async with pool_at(both) as pool:
            state = PostgresState(pool, LOG)
            await until(lambda: works(state), seconds=30, what="work at the first server")

            execute(urls[0], READ_ONLY, "SELECT pg_reload_conf()")
            execute(urls[1], WRITABLE, "SELECT pg_reload_conf()")

            async def moved() -> bool:
                return await works(state) and bool(claims(urls[1]))

            await until(moved, seconds=30, what="work at the second server")
            assert claims(urls[1]) == claims(urls[0])
    finally:
        for one in urls:
            execute(one, WRITABLE, "SELECT pg_reload_conf()")


def claims(url: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT idempotency_key, owner_offset FROM claim").fetchall()


async def test_an_error_of_one_statement_keeps_the_session(url: str) -> None:
    async with pool_at(url, connections=1) as pool:
        state = PostgresState(pool, LOG)
        await until(lambda: works(state), seconds=30, what="the state")

        async def process() -> int:
            async with pool.connection() as connection:
                return connection.info.backend_pid

        before = await process()
        with psycopg.connect(url) as locking:
            locking.execute("LOCK TABLE claim IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(StateUnavailableError, match="lock timeout"):
                await state.partition(0).claim(0, 1, CLAIMS)

        assert await process() == before


async def test_a_full_disk_that_claims_meet_is_no_available_state(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_state, "FULL_SECONDS", 1)
    async with pool_at(url) as pool:
        state = PostgresState(pool, LOG)
        await state.check()
        execute(
            url,
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS "
            "$$BEGIN RAISE 'No space left on device' USING ERRCODE = 'disk_full'; END$$",
            "CREATE TRIGGER full_disk BEFORE INSERT ON claim EXECUTE FUNCTION full_disk()",
        )
        await state.partition(0).open(0)
        with pytest.raises(StateUnavailableError, match="No space left"):
            await state.partition(0).claim(0, 1, CLAIMS)

        with pytest.raises(StateUnavailableError, match="No space left"):
            await state.check()
        execute(url, "DROP TRIGGER full_disk ON claim")
        await until(lambda: works(state), seconds=30, what="the state")


async def test_a_check_leaves_no_dead_row(url: str) -> None:
    async with pool_at(url) as pool:
        state = PostgresState(pool, LOG)
        for _ in range(50):
            await state.check()

    with psycopg.connect(url) as connection:
        place = connection.execute("SELECT ctid::text FROM log").fetchall()
    assert place == [("(0,1)",)]


async def test_a_server_that_does_not_answer_is_unavailable_although_the_session_stands(
    stack: Devstack, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_state, "ANSWER_SECONDS", 0.5)
    async with pool_at(url) as pool:
        state = PostgresState(pool, LOG)
        await until(lambda: works(state), seconds=30, what="the state")
        assert stack.postgres.pid is not None
        family = [stack.postgres.pid, *children_of(stack.postgres.pid)]
        for pid in family:
            os.kill(pid, signal.SIGSTOP)
        try:
            async with asyncio.timeout(40):
                with pytest.raises(StateUnavailableError, match="no answer"):
                    await state.check()
        finally:
            for pid in family:
                os.kill(pid, signal.SIGCONT)
        monkeypatch.setattr(postgres_state, "ANSWER_SECONDS", 10)
        await until(lambda: works(state), seconds=60, what="work again")


async def test_idle_sessions_of_ours_are_never_ended_by_the_server(url: str) -> None:
    execute(url, f"ALTER DATABASE {urlsplit(url).path[1:]} SET idle_session_timeout = '100ms'")

    async def told(connection: psycopg.AsyncConnection) -> object:
        return await (await connection.execute("SHOW idle_session_timeout")).fetchone()

    async with pool_at(url) as pool, pool.connection() as pooled:
        assert await told(pooled) == ("0",)
    async with await connect(url) as listening:  # as the gate does
        assert await told(listening) == ("0",)
    async with database(DatabaseSettings(database_url=SecretStr(url))) as command:
        assert await told(command) == ("0",)


async def test_a_log_that_has_another_number_now_is_another_database(url: str) -> None:
    async with pool_at(url) as pool:
        state = PostgresState(pool, LOG)
        await state.check()
        execute(url, "DELETE FROM log")

        with pytest.raises(RefusedError, match="another database"):
            await state.check()


async def test_commands_name_the_server_that_takes_no_writes_and_what_to_set(stack: Devstack, url: str) -> None:
    server = f"127.0.0.1:{stack.postgres.port}"
    execute(url, f"ALTER DATABASE {urlsplit(url).path[1:]} SET default_transaction_read_only = on")
    settings = DatabaseSettings(database_url=SecretStr(url))

    with pytest.raises(UnreachableError, match=rf"{server} takes no writes now.*target_session_attrs=read-write"):
        await Lease(lambda: database(settings), "group", "a test", Timing()).take()
    migrated = await run({"DATABASE_URL": url}, "migrate", expect=1)
    assert server in migrated.err
    assert "target_session_attrs=read-write" in migrated.err


async def test_an_argument_that_is_not_utf8_is_wrong_usage_and_no_traceback(url: str) -> None:
    env = {"DATABASE_URL": url, "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}

    said = await run(env, "state", "show", os.fsdecode(b"ringover:call.ended:\xff"), expect=2)

    assert "not UTF-8" in said.err
