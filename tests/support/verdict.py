"""Judge a run: everything the topics and the state table hold, against the reference model."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import psycopg
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError, GroupLoadInProgressError, NotCoordinatorForGroupError

from schemas.identity import ClaimKey
from schemas.topics import TopicNames
from tests.support.comparison import (
    Left,
    Letter,
    State,
    Violation,
    log_ends,
    state_violations,
    violations,
)
from tests.support.kafka import as_raw, connect, read_topic
from tests.support.reference_model import Event, Expected, Raw, expected
from tests.support.waiting import until

SHOWN = 5  # violations in a failure's message
DEFAULT_GROUP = "ringover-normalizer"


@dataclass(frozen=True)
class Place:
    """Where a run happened."""

    bootstrap_servers: str
    database_url: str
    topics: TopicNames
    group: str = DEFAULT_GROUP


# A new broker makes its offsets topic on the first question; one that comes back loads it first.
NOT_YET = (GroupCoordinatorNotAvailableError, GroupLoadInProgressError, NotCoordinatorForGroupError)


async def committed_offsets(place: Place) -> dict[int, int]:
    """The group's committed offset of each raw partition that has one."""
    async with _asking(place) as ask:
        return await ask()


async def processed(place: Place, count: int, *, seconds: float = 60) -> None:
    """Wait until the group has committed `count` raw records in all."""
    async with _asking(place) as ask:

        async def answer() -> bool:
            return sum((await ask()).values()) >= count

        await until(answer, seconds=seconds, what=f"{count} records processed")


@asynccontextmanager
async def _asking(place: Place) -> AsyncIterator[Callable[[], Awaitable[dict[int, int]]]]:
    """Asks for the committed offsets as often as wanted, by one client: most of what a question costs is a new one."""
    admin = AIOKafkaAdminClient(**connect(place.bootstrap_servers))

    async def ask() -> dict[int, int]:
        try:
            offsets = await admin.list_consumer_group_offsets(place.group)
        except NOT_YET:
            return {}
        return {
            partition.partition: found.offset
            for partition, found in offsets.items()
            if isinstance(partition, TopicPartition) and partition.topic == place.topics.raw and found.offset >= 0
        }

    await admin.start()
    try:
        yield ask
    finally:
        await admin.close()


async def left(place: Place) -> Left:
    """Read it all, read committed."""
    topics = place.topics
    raw, call, recording, dead = [
        await read_topic(place.bootstrap_servers, topic)
        for topic in (topics.raw, topics.call, topics.recording, topics.dead_letter)
    ]
    return Left(
        as_raw(raw),
        [_event("call", record) for record in call] + [_event("recording", record) for record in recording],
        [Letter(r.partition, r.key, r.value, tuple(r.headers)) for r in dead],
        state(place),
        await committed_offsets(place),
    )


async def judge(place: Place) -> Expected:
    """Assert that all outputs are exactly what the model expects of the raw log; returns the expectation."""
    found = await left(place)
    model = expected(found.raw, place.topics.raw)
    assert_none(violations(model, found))
    return model


def judge_state(place: Place, model: Expected, raw: Sequence[Raw]) -> None:
    """The claims are the min-offset function of the log; progress is not behind; conflicts are counted exactly."""
    assert_none(state_violations(model, state(place), log_ends(raw)))


def assert_none(found: Iterable[Violation]) -> None:
    """Fail with the first violations and how many there are, not with megabytes."""
    found = list(found)
    shown = "\n".join(f"{violation.invariant.name}: {violation.text}" for violation in found[:SHOWN])
    assert not found, f"{len(found)} violations\n{shown}"


def state(place: Place) -> State:
    """What the state table holds of the place's log."""
    name = [f"{place.topics.raw}@1"]
    with psycopg.connect(place.database_url) as connection:
        claims = connection.execute(
            "SELECT idempotency_key, partition, owner_offset FROM claim JOIN log USING (log_id) WHERE name = %s", name
        ).fetchall()
        conflicts = connection.execute(
            "SELECT count(*) FROM conflict JOIN log USING (log_id) WHERE name = %s", name
        ).fetchall()[0][0]
        progress = connection.execute(
            "SELECT partition, next_offset FROM progress JOIN log USING (log_id) WHERE name = %s", name
        ).fetchall()
    return State({ClaimKey(key): (partition, offset) for key, partition, offset in claims}, conflicts, dict(progress))


def duplicates_counted(place: Place) -> int:
    """Duplicates as the state table counts them."""
    with psycopg.connect(place.database_url) as connection:
        rows = connection.execute("SELECT coalesce(sum(records - 1), 0)::bigint FROM claim").fetchall()
    return int(rows[0][0])


def _event(name: str, record: ConsumerRecord) -> Event:
    return Event(name, record.partition, record.key, record.value, tuple(record.headers))
