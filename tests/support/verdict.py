"""Judge a run: everything the topics and the state table hold, against the reference model."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError

from schemas.dead_letter import CODE, PREFIX
from schemas.dead_letter import TOPIC as ORIGIN_TOPIC
from schemas.headers import header
from schemas.identity import EventType, claim_key
from schemas.topics import TopicNames
from tests.support.kafka import as_raw, connect, read_topic
from tests.support.reference_model import Dead, Event, Expected, Raw, expected
from tests.support.waiting import until

DEFAULT_GROUP = "ringover-normalizer"


@dataclass(frozen=True)
class Place:
    """Where a run happened."""

    bootstrap_servers: str
    database_url: str
    topics: TopicNames
    group: str = DEFAULT_GROUP


async def committed_offsets(place: Place) -> dict[int, int]:
    """The group's committed offset of each raw partition that has one."""
    admin = AIOKafkaAdminClient(**connect(place.bootstrap_servers))
    await admin.start()
    try:
        offsets = await admin.list_consumer_group_offsets(place.group)
    except GroupCoordinatorNotAvailableError:  # a new broker makes its offsets topic on the first question
        return {}
    finally:
        await admin.close()
    return {
        partition.partition: found.offset
        for partition, found in offsets.items()
        if isinstance(partition, TopicPartition) and partition.topic == place.topics.raw and found.offset >= 0
    }


async def processed(place: Place, count: int, *, seconds: float = 60) -> None:
    """Wait until the group has committed `count` raw records in all."""

    async def answer() -> bool:
        return sum((await committed_offsets(place)).values()) >= count

    await until(answer, seconds=seconds, what=f"{count} records processed")


async def judge(place: Place) -> Expected:
    """Assert that all outputs are exactly what the model expects of the raw log; returns the expectation."""
    raw = as_raw(await read_topic(place.bootstrap_servers, place.topics.raw))
    model = expected(raw, place.topics.raw)
    for name, topic in (("call", place.topics.call), ("recording", place.topics.recording)):
        found = [_event(name, record) for record in await read_topic(place.bootstrap_servers, topic)]
        wanted = [event for event in model.events if event.topic == name]
        assert_same(topic, _by_partition(found), _by_partition(wanted))
    dead = [
        r
        for r in await read_topic(place.bootstrap_servers, place.topics.dead_letter)
        if header(r.headers, ORIGIN_TOPIC)
    ]
    assert_same(place.topics.dead_letter, dead_letters_found(dead), dead_letters_wanted(model.dead_letters))
    judge_state(place, model, raw)
    ends: dict[int, int] = defaultdict(int)
    for record in raw:
        ends[record.partition] = record.offset + 1
    committed = await committed_offsets(place)
    assert {partition: offset for partition, offset in committed.items() if offset} == dict(ends)
    return model


def judge_state(place: Place, model: Expected, raw: Sequence[Raw]) -> None:
    """The claims are the min-offset function of the log; progress is not behind; counts are exact or not below."""
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
    wanted = {claim_key(EventType(identity[0]), *identity[1:]): owner for identity, owner in model.owners.items()}
    assert {key: (partition, offset) for key, partition, offset in claims} == wanted
    assert conflicts == model.conflicts
    ends = {record.partition: record.offset + 1 for record in raw}
    assert {partition: offset for partition, offset in progress if offset} == ends


def duplicates_counted(place: Place) -> int:
    """Duplicates as the state table counts them."""
    with psycopg.connect(place.database_url) as connection:
        rows = connection.execute("SELECT coalesce(sum(records - 1), 0)::bigint FROM claim").fetchall()
    return int(rows[0][0])


def _event(name: str, record: ConsumerRecord) -> Event:
    return Event(name, record.partition, record.key, record.value, tuple(record.headers))


def _by_partition(events: Sequence[Event]) -> dict[int, list[Event]]:
    found: dict[int, list[Event]] = defaultdict(list)
    for event in events:
        found[event.partition].append(event)
    return dict(found)


def dead_letters_found(
    records: Sequence[ConsumerRecord],
) -> list[tuple[int, bytes | None, bytes, tuple[object, ...], str]]:
    found = []
    for r in records:
        originals = tuple(pair for pair in r.headers if not pair[0].startswith(PREFIX))
        code = header(r.headers, CODE) or b""
        found.append((r.partition, r.key, r.value, originals, code.decode()))
    return found


def dead_letters_wanted(dead: Sequence[Dead]) -> list[tuple[int, bytes | None, bytes, tuple[object, ...], str]]:
    return [(d.raw.partition, d.raw.key, d.raw.value, tuple(d.raw.headers), d.code) for d in dead]


def assert_same(topic: str, found: object, wanted: object) -> None:
    """Compare whole topics without printing megabytes when they differ."""
    if found == wanted:
        return
    raise AssertionError(f"{topic}: {_difference(found, wanted)}")


def _difference(found: object, wanted: object) -> str:
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in sorted(found.keys() | wanted.keys()):
            if found.get(key) != wanted.get(key):
                return f"partition {key}: {_difference(found.get(key, []), wanted.get(key, []))}"
    if isinstance(found, list) and isinstance(wanted, list):
        for index, (one, other) in enumerate(zip(found, wanted, strict=False)):
            if one != other:
                return f"{len(found)} found, {len(wanted)} wanted; first difference at {index}: {one!r} != {other!r}"
        return f"{len(found)} found, {len(wanted)} wanted; one is the beginning of the other"
    return f"{found!r} != {wanted!r}"
