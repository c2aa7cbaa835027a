"""The state table while PostgreSQL stops, is killed or has no schema: on a server of this module's own."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest

from ops.migrate.run import migrate, packaged_migrations
from processors import postgres_pool
from processors.model import Claim
from processors.postgres_pool import make_pool
from processors.postgres_state import PostgresState
from runtime.errors import RefusedError, StateUnavailableError
from sandbox.devstack.stack import Devstack, DevstackConfig
from schemas.identity import ClaimKey
from tests.support.waiting import until

pytestmark = pytest.mark.server
KEY = ClaimKey("ringover:call.ended:a")


@pytest.fixture(scope="module")
def stack() -> Iterator[Devstack]:
    with Devstack(DevstackConfig(kafka=False)) as running:
        yield running


@pytest.fixture(autouse=True)
def quick_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_pool, "WAIT_FOR_CONNECTION_SECONDS", 0.5)


@pytest.fixture
async def empty_state(stack: Devstack) -> AsyncIterator[PostgresState]:
    pool = make_pool(stack.database_url, connections=2)
    await pool.open()
    yield PostgresState(pool, "ringover.raw.v1@1")
    await pool.close()


@pytest.fixture
async def state(stack: Devstack, empty_state: PostgresState) -> PostgresState:
    migrate(stack.database_url, packaged_migrations())
    await empty_state.check()
    return empty_state


async def test_missing_schema_names_the_command_that_makes_it(empty_state: PostgresState, stack: Devstack) -> None:
    with pytest.raises(RefusedError, match="ringover-ops migrate"):
        await empty_state.check()

    migrate(stack.database_url, packaged_migrations())
    await empty_state.check()


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_server_that_goes_away_is_unavailable_and_the_same_objects_recover(
    stack: Devstack, state: PostgresState, end: str
) -> None:
    partition = state.partition(0 if end == "stop" else 1)
    await partition.open(0)
    claims = [Claim(ClaimKey(f"{KEY}:{end}"), 1, 1_767_366_000_000, 5, 1)]
    await partition.claim(0, 2, claims)

    await asyncio.to_thread(getattr(stack.postgres, end))
    try:
        for _ in range(3):
            with pytest.raises(StateUnavailableError):
                await partition.claim(2, 4, claims)
        with pytest.raises(StateUnavailableError):
            await state.check()
    finally:
        await asyncio.to_thread(stack.postgres.start)

    async def answers() -> bool:
        try:
            await state.check()
        except StateUnavailableError:
            return False
        return True

    await until(answers, seconds=20, what="the state's recovery")
    owners = await partition.claim(2, 4, claims)
    assert [(offset, content) for _, offset, content in owners.values()] == [(1, 5)]
    assert await partition.progress() == 4


async def test_killed_in_the_middle_of_claims_loses_none_that_was_answered(
    stack: Devstack, state: PostgresState
) -> None:
    partition = state.partition(2)
    await partition.open(0)
    answered: dict[ClaimKey, tuple[int, int, int]] = {}
    next_offset = 0

    async def claim_until_it_fails() -> None:
        nonlocal next_offset
        while True:
            batch = [Claim(ClaimKey(f"{KEY}:{next_offset + i}"), next_offset + i, 0, i, 1) for i in range(50)]
            batch.sort(key=lambda one: one.key)
            answered.update(await partition.claim(next_offset, next_offset + 50, batch))
            next_offset += 50

    claiming = asyncio.create_task(claim_until_it_fails())

    async def under_way() -> bool:
        return next_offset >= 200

    await until(under_way, seconds=20, what="200 claims")
    await asyncio.to_thread(stack.postgres.kill)
    with pytest.raises(StateUnavailableError):
        await claiming
    await asyncio.to_thread(stack.postgres.start)

    async def progress() -> int | None:
        try:
            return await partition.progress()
        except StateUnavailableError:
            return None

    known = await until(progress, seconds=20, what="the state's recovery")
    assert known is not None
    assert known >= next_offset
    keys = sorted(answered)
    again = [Claim(one, 10**6, 0, -1, 0) for one in keys]
    assert await partition.claim(0, known, again) == answered


async def test_pass_again_over_old_records_writes_no_claim(stack: Devstack, state: PostgresState) -> None:
    partition = state.partition(7)
    await partition.open(0)
    keys = [ClaimKey(f"again:{number}") for number in range(20)]
    first = await partition.claim(0, 20, [Claim(key, number, 0, 5, 1) for number, key in enumerate(sorted(keys))])

    async def versions() -> list[tuple[object, ...]]:
        async with await psycopg.AsyncConnection.connect(stack.database_url) as connection:
            cursor = await connection.execute("SELECT idempotency_key, ctid::text, xmin::text FROM claim ORDER BY 1")
            return await cursor.fetchall()

    before = await versions()
    again = [Claim(key, offset, 0, 6, 0) for key, (_, offset, _) in sorted(first.items())]

    assert await partition.claim(0, 20, again, counted_until=20) == first
    assert await versions() == before


async def test_damaged_connection_is_replaced(stack: Devstack, state: PostgresState) -> None:
    await state.check()

    with psycopg.connect(stack.database_url, autocommit=True) as operator:
        operator.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ringover-processor'"
        )

    async def answers() -> bool:
        try:
            await state.check()
        except StateUnavailableError:
            return False
        return True

    await until(answers, seconds=20, what="the state's recovery")
