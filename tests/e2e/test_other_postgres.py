"""PostgreSQL as operators have it: other encodings, a pooler before it, read-only for a while, ending idle sessions."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from urllib.parse import urlsplit

import psycopg
import pytest

from ops.migrate.run import migrate, packaged_migrations
from sandbox.devstack.stack import Devstack, DevstackConfig
from tests.support.cli import run
from tests.support.kafka import store
from tests.support.pgbouncer import pgbouncer
from tests.support.processes import Program, Programs
from tests.support.traffic import ended, started, traffic
from tests.support.verdict import Place, judge, processed
from tests.support.waiting import until

EURO = "€-1"
REFUSED = 78
IDLE_SECONDS = 3.0
END_SESSIONS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ringover-processor'"


@pytest.fixture(scope="module")
def plain() -> Iterator[Devstack]:
    """A PostgreSQL without passwords or TLS, which PgBouncer's configuration in these tests knows nothing of."""
    with Devstack(DevstackConfig(kafka=False)) as running:
        migrate(running.database_url, packaged_migrations())
        yield running


def execute(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def database_of(place: Place) -> tuple[str, str]:
    """Its name, and the URL by which its settings can be changed whatever they are."""
    parts = urlsplit(place.database_url)
    return parts.path[1:], parts._replace(path="/postgres").geturl()


async def refused(program: Program, *words: str) -> None:
    """It ends by itself, as one that an operator must look at."""

    async def has_ended() -> bool:
        return not program.running

    await until(has_ended, seconds=60, what="the end of a processor that refuses")
    assert program.process.returncode == REFUSED, program.tail()
    missing: Sequence[str] = [word for word in words if word not in program.tail()]
    assert missing == [], program.tail()


async def test_a_call_id_that_latin1_cannot_hold_is_processed_and_shown_in_a_latin1_environment(
    place: Place, programs: Programs
) -> None:
    webhooks = [started(EURO), ended(EURO), *traffic(seed=51, calls=20)]
    count = await store(place.bootstrap_servers, place.topics.raw, webhooks)
    processor = programs.processor(PGCLIENTENCODING="LATIN1")

    await processed(place, count)

    await judge(place)
    shown = await run({**programs.env, "PGCLIENTENCODING": "LATIN1"}, "calls", "show", EURO, expect=0)
    assert EURO in shown.out
    assert processor.stop() == 0


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_a_processor_refuses_a_database_whose_encoding_cannot_hold_every_id(
    plain: Devstack, programs: Programs, encoding: str
) -> None:
    name = f"in_{encoding.lower()}"
    execute(plain.database_url, f"CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0 LOCALE 'C'")
    url = urlsplit(plain.database_url)._replace(path=f"/{name}").geturl()

    await refused(programs.processor(DATABASE_URL=url), f"encoding {encoding}", "TEMPLATE template0")


@pytest.mark.parametrize("mode", ["transaction", "statement"])
async def test_a_processor_refuses_a_pooler_that_shares_sessions(
    plain: Devstack, programs: Programs, mode: str
) -> None:
    with pgbouncer(plain.database_url, mode) as url:
        await refused(programs.processor(DATABASE_URL=url), "pool_mode = session")


async def test_two_processors_work_through_session_pooling(plain: Devstack, place: Place, programs: Programs) -> None:
    count = await store(place.bootstrap_servers, place.topics.raw, traffic(seed=52, calls=300))
    with pgbouncer(plain.database_url, "session") as url:
        processors = [programs.processor(DATABASE_URL=url) for _ in range(2)]
        for processor in processors:
            await processor.ready()

        await processed(place, count)

        await judge(replace(place, database_url=plain.database_url))
        assert [processor.stop() for processor in processors] == [0, 0]


async def test_sessions_kept_on_a_read_only_node_are_told_by_readiness_and_replaced_without_a_restart(
    place: Place, programs: Programs
) -> None:
    name, admin = database_of(place)
    count = await store(place.bootstrap_servers, place.topics.raw, traffic(seed=53, calls=100))
    processor = programs.processor()
    await processor.ready()
    await processed(place, count)

    execute(admin, f"ALTER DATABASE {name} SET default_transaction_read_only = on", END_SESSIONS)

    async def says_so() -> bool:
        status, text = await processor.readyz()
        return status == 503 and "read-only" in text

    await until(says_so, seconds=60, what="readiness that tells it")
    assert "ringover_state_available 0.0" in await processor.metrics()
    count += await store(place.bootstrap_servers, place.topics.raw, traffic(seed=54, calls=100))
    execute(admin, f"ALTER DATABASE {name} RESET default_transaction_read_only")

    await processed(place, count)
    await processor.ready()
    await judge(place)
    assert processor.stop() == 0


async def test_an_idle_processor_stays_ready_where_the_server_ends_idle_sessions(
    place: Place, programs: Programs
) -> None:
    name, admin = database_of(place)
    execute(admin, f"ALTER DATABASE {name} SET idle_session_timeout = '300ms'")
    processor = programs.processor()
    await processor.ready()

    end = time.monotonic() + IDLE_SECONDS
    looks = 0
    while time.monotonic() < end:
        assert await processor.readyz() == (200, "ok\n")
        looks += 1

    assert looks > 1
    assert processor.stop() == 0
