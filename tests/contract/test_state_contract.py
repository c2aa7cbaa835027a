"""ports.State: one suite on the in-memory version and on PostgreSQL."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from typing import Protocol, cast

import psycopg
import pytest

from processors.model import Claim, Conflict, Owner, Owners
from processors.ports import State
from processors.postgres_pool import Pool, make_pool
from processors.postgres_state import PostgresState
from runtime.errors import StateBehindError
from schemas.identity import ClaimKey
from tests.support.memory import Hooks, MemoryDatabase, MemoryState

LOG = "ringover.raw.v1@1"
PARTITION = 3


class Table(Protocol):
    """A state table, as a test needs it: views of it, and what is written there."""

    async def view(self, partition: int = PARTITION, log: str = LOG) -> State: ...

    async def records(self, key: ClaimKey) -> int | None: ...

    async def conflicts(self) -> list[tuple[int, int, str]]: ...


class MemoryTable:
    def __init__(self) -> None:
        self.database = MemoryDatabase()

    async def view(self, partition: int = PARTITION, log: str = LOG) -> State:
        return MemoryState(self.database, log, partition, Hooks())

    async def records(self, key: ClaimKey) -> int | None:
        row = self.database.claims.get((LOG, key))
        return row.records if row else None

    async def conflicts(self) -> list[tuple[int, int, str]]:
        return sorted((partition, offset, key) for (_, partition, offset), key in self.database.conflicts.items())


class PostgresTable:
    def __init__(self, pool: Pool, database_url: str) -> None:
        self._pool = pool
        self._database_url = database_url

    async def view(self, partition: int = PARTITION, log: str = LOG) -> State:
        state = PostgresState(self._pool, log)
        await state.check()
        return state.partition(partition)

    async def records(self, key: ClaimKey) -> int | None:
        rows = await self._ask("SELECT sum(records)::bigint FROM claim WHERE idempotency_key = %s", [key])
        return cast("int | None", rows[0][0])

    async def conflicts(self) -> list[tuple[int, int, str]]:
        rows = await self._ask("SELECT partition, record_offset, idempotency_key FROM conflict ORDER BY 1, 2", [])
        return cast("list[tuple[int, int, str]]", rows)

    async def _ask(self, query: str, parameters: Sequence[object]) -> list[tuple[object, ...]]:
        async with await psycopg.AsyncConnection.connect(self._database_url) as connection:
            cursor = await connection.execute(query.encode(), parameters)
            return await cursor.fetchall()


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.server)])
async def table(request: pytest.FixtureRequest) -> AsyncIterator[Table]:
    if request.param == "memory":
        yield MemoryTable()
        return
    database_url: str = request.getfixturevalue("migrated_database_url")
    async with AsyncExitStack() as stack:
        pool = make_pool(database_url, connections=4)
        await pool.open()
        stack.push_async_callback(pool.close)
        yield PostgresTable(pool, database_url)


def key(text: object) -> ClaimKey:
    return ClaimKey(f"ringover:call.ended:{text}")


def claim(text: object, offset: int, *, content: int = 0, records: int = 1) -> Claim:
    return Claim(key(text), offset, 1_767_366_000_000 + offset, content, records)


def owners(*owned: tuple[object, int]) -> dict[ClaimKey, Owner]:
    return {key(text): Owner(PARTITION, offset, 0) for text, offset in owned}


async def test_nothing_is_known_at_first(table: Table) -> None:
    assert await (await table.view()).progress() is None


async def test_open_sets_progress_and_never_moves_it_back(table: Table) -> None:
    state = await table.view()

    found = []
    for offset in (5, 3, 0, 9):
        await state.open(offset)
        found.append(await state.progress())

    assert found == [5, 5, 5, 9]


async def test_claim_is_refused_when_nothing_is_known_and_writes_nothing(table: Table) -> None:
    state = await table.view()

    with pytest.raises(StateBehindError):
        await state.claim(0, 5, [claim("a", 1)])

    assert await state.progress() is None
    assert await table.records(key("a")) is None


async def test_claim_is_refused_when_something_before_it_was_not_claimed_and_writes_nothing(table: Table) -> None:
    state = await table.view()
    await state.open(4)

    with pytest.raises(StateBehindError):
        await state.claim(5, 8, [claim("a", 5)])

    assert await state.progress() == 4
    assert await table.records(key("a")) is None
    assert await state.claim(4, 8, [claim("a", 6)]) == owners(("a", 6))


async def test_claim_answers_every_owner_and_moves_progress(table: Table) -> None:
    state = await table.view()
    await state.open(0)

    assert await state.claim(0, 5, [claim("a", 1), claim("b", 0)]) == owners(("a", 1), ("b", 0))
    assert await state.claim(5, 9, [claim("a", 5), claim("c", 6)]) == owners(("a", 1), ("c", 6))
    assert await state.progress() == 9


async def test_owner_that_claims_again_stays_the_owner(table: Table) -> None:
    state = await table.view()
    await state.open(0)
    claims = [claim("a", 1), claim("b", 2)]
    first = await state.claim(0, 5, claims)

    again = [Claim(c.key, c.offset, c.time_ms, c.content_hash, 0) for c in claims]
    assert await state.claim(0, 5, again) == first
    assert await state.claim(0, 3, again) == first
    assert await state.progress() == 5


async def test_content_of_the_owner_is_answered_to_a_later_claim(table: Table) -> None:
    state = await table.view()
    await state.open(0)
    await state.claim(0, 1, [claim("a", 0, content=-(2**63))])

    found = await state.claim(1, 2, [claim("a", 1, content=2**63 - 1)])

    assert found == {key("a"): Owner(PARTITION, 0, -(2**63))}


@pytest.mark.parametrize("seed", range(10))
async def test_smallest_offset_owns_in_whatever_order_ranges_are_claimed(table: Table, seed: int) -> None:
    state = await table.view()
    await state.open(0)
    rng = random.Random(seed)
    log = [rng.choice("abcdef") for _ in range(40)]
    smallest = {text: log.index(text) for text in set(log)}
    progress = 0
    while progress < len(log):
        first = rng.randrange(0, progress + 6)
        end = rng.randrange(first + 1, first + 10)
        batch = {text: first + log[first:end].index(text) for text in sorted(set(log[first:end]))}
        claims = [claim(text, offset) for text, offset in batch.items()]
        if first > progress:
            with pytest.raises(StateBehindError):
                await state.claim(first, end, claims)
        else:
            found = await state.claim(first, end, claims)
            assert found == owners(*((text, smallest[text]) for text in batch))
            progress = max(progress, end)


async def test_records_are_added_up(table: Table) -> None:
    state = await table.view()
    await state.open(0)

    await state.claim(0, 5, [claim("a", 0, records=3)])
    await state.claim(5, 7, [claim("a", 5, records=2)])
    await state.claim(5, 7, [claim("a", 5, records=0)])

    assert await table.records(key("a")) == 5


async def test_a_claim_repeated_after_a_lost_answer_counts_once(table: Table) -> None:
    state = await table.view()
    await state.open(0)

    await state.claim(0, 5, [claim("a", 0, records=3)])
    await state.claim(0, 5, [claim("a", 0, records=3)])

    assert await table.records(key("a")) == 3


async def test_a_zombie_claims_what_its_successor_counted_and_adds_nothing(table: Table) -> None:
    state = await table.view()
    await state.open(0)

    await state.claim(0, 5, [claim("a", 0)])
    await state.claim(5, 9, [claim("a", 7)])
    await state.claim(0, 3, [claim("a", 0)])

    assert await table.records(key("a")) == 2


async def test_records_of_an_earlier_pass_do_not_keep_new_ones_from_being_counted(table: Table) -> None:
    state = await table.view()
    await state.open(0)

    await state.claim(0, 5, [claim("a", 0)])
    await state.claim(3, 9, [claim("a", 3, records=1)], counted_until=5)

    assert await table.records(key("a")) == 2


async def test_reclaim_writes_claims_and_conflicts_together(table: Table) -> None:
    state = await table.view()
    await state.open(0)
    await state.claim(0, 5, [claim("a", 1, content=7)])

    def conflicts_of(found: Owners) -> Sequence[Conflict]:
        assert found == {key("a"): Owner(PARTITION, 1, 7), key("b"): Owner(PARTITION, 6, 8)}
        return [Conflict(key("a"), 5, 0)]

    await state.reclaim(5, 9, [claim("a", 5, content=8), claim("b", 6, content=8)], conflicts_of)

    assert await state.progress() == 9
    assert await table.conflicts() == [(PARTITION, 5, key("a"))]


async def test_reclaim_that_ends_before_its_conflicts_are_noted_writes_nothing(table: Table) -> None:
    state = await table.view()
    await state.open(0)

    def conflicts_of(_found: Owners) -> Sequence[Conflict]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await state.reclaim(0, 5, [claim("a", 1)], conflicts_of)

    assert await state.progress() == 0
    assert await table.records(key("a")) is None


async def test_reclaim_is_refused_like_a_claim_when_something_before_it_is_missing(table: Table) -> None:
    state = await table.view()
    await state.open(4)

    with pytest.raises(StateBehindError):
        await state.reclaim(5, 9, [claim("a", 5)], lambda _found: ())

    assert await state.progress() == 4


async def test_claims_of_different_logs_do_not_meet(table: Table) -> None:
    one, other = await table.view(), await table.view(log="ringover.raw.v1@2")
    await one.open(0)
    await one.claim(0, 5, [claim("a", 1)])

    assert await other.progress() is None
    await other.open(0)
    assert await other.claim(0, 9, [claim("a", 7)]) == owners(("a", 7))
    assert await one.progress() == 5


async def test_partitions_have_their_own_progress(table: Table) -> None:
    one, other = await table.view(0), await table.view(1)
    await one.open(7)

    assert await other.progress() is None
    with pytest.raises(StateBehindError):
        await other.claim(0, 1, [claim("a", 0)])
    await other.open(0)
    await other.claim(0, 2, [claim("a", 0)])
    assert (await one.progress(), await other.progress()) == (7, 2)


async def test_key_that_comes_in_two_partitions_has_one_owner(table: Table) -> None:
    one, other = await table.view(0), await table.view(1)
    await one.open(0)
    await other.open(0)
    await one.claim(0, 5, [claim("a", 4)])

    # The call id in a key bounds it to one partition; were it not so, there would still be one event.
    assert await other.claim(0, 5, [claim("a", 1)]) == {key("a"): Owner(0, 4, 0)}


async def test_odd_keys_stay_apart(table: Table) -> None:
    state = await table.view()
    await state.open(0)
    texts = [
        "é",
        "e\u0301",
        "E",
        "e",
        "\U0001f4de",
        "\uffff",
        "\u200b",
        "a b",
        "a",
        " a",
        "%",
        "%%s",
        "{}",
        '"',
        "'",
        "\\",
        "NULL",
        "x" * 800,
    ]
    claims = sorted((claim(text, offset) for offset, text in enumerate(texts)), key=lambda c: c.key)

    found = await state.claim(0, len(texts), claims)

    assert found == owners(*((text, offset) for offset, text in enumerate(texts)))


async def test_ten_thousand_keys_at_once(table: Table) -> None:
    state = await table.view()
    await state.open(0)
    claims = sorted((claim(f"{number:05}", number) for number in range(10_000)), key=lambda c: c.key)

    found = await state.claim(0, 10_000, claims)

    assert found == owners(*((f"{number:05}", number) for number in range(10_000)))


async def test_batch_without_claims_moves_progress(table: Table) -> None:
    state = await table.view()
    await state.open(0)

    assert await state.claim(0, 5, []) == {}
    assert await state.progress() == 5
    with pytest.raises(StateBehindError):
        await state.claim(6, 7, [])


async def test_concurrent_claims_see_the_same_owners_and_never_block_each_other_for_good(table: Table) -> None:
    one, other = await table.view(0), await table.view(1)
    await one.open(0)
    await other.open(0)
    rng = random.Random(7)
    for number in range(50):
        keys = [f"{number}:{text}" for text in range(30)]
        # Overlapping sets in two partitions: the worst case, though one key never comes in two.
        batches = [sorted(rng.sample(keys, rng.randrange(1, 30))) for _ in range(2)]

        answers = await asyncio.gather(
            *(
                state.claim(number, number + 1, [claim(text, number) for text in batch])
                for state, batch in zip((one, other), batches, strict=True)
            )
        )

        for text in set(batches[0]) & set(batches[1]):
            assert answers[0][key(text)] == answers[1][key(text)]
        for batch, answer in zip(batches, answers, strict=True):
            assert answer.keys() == {key(text) for text in batch}


async def test_two_owners_of_one_partition_get_the_same_answers(table: Table) -> None:
    zombie, owner = await table.view(), await table.view()
    await zombie.open(0)
    rng = random.Random(11)
    for number in range(50):
        texts = sorted(rng.sample(range(100), 20))
        claims = [claim(f"{text:03}", number * 100 + text) for text in texts]

        answers = await asyncio.gather(
            *(state.claim(number * 100, number * 100 + 100, claims) for state in (zombie, owner))
        )

        assert answers[0] == answers[1]
    assert await owner.progress() == 5000


async def test_conflicts_are_kept_once(table: Table) -> None:
    state, other = await table.view(), await table.view(PARTITION + 1)
    conflicts = [Conflict(key("a"), 4, 1_767_366_000_004), Conflict(key("b"), 5, 1_767_366_000_005)]

    await state.note_conflicts(conflicts)
    await state.note_conflicts([*conflicts, Conflict(key("a"), 6, 1_767_366_000_006)])
    await other.note_conflicts(conflicts[:1])
    await state.note_conflicts([])

    assert await table.conflicts() == [
        (PARTITION, 4, key("a")),
        (PARTITION, 5, key("b")),
        (PARTITION, 6, key("a")),
        (PARTITION + 1, 4, key("a")),
    ]
