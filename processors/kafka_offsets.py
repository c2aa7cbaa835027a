"""Reads how far a group has processed each partition, from records of its own: topic `ringover.offset.v1`.

The record about partition `n` of the raw topic is in partition `n`. If there is no such partition when the record is
first written it is in partition 0, and stays there, whatever grows later: a place that moved could be looked for in
vain by a process whose broker does not know of the growth yet, and it would begin at an outdated offset.

The transaction that emits a batch's events also writes the offset at which the next batch begins, and a takeover reads
it back. The group's committed offset is written beside it, for Kafka's tools; nothing begins from it, because a group
coordinator that comes back from a crash may show an older one (docs/design.md, "Where a takeover begins").
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, TypeAlias

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, KafkaTimeoutError, UnknownTopicOrPartitionError

from processors.kafka_transactions import open_transaction
from runtime.errors import OpenTransactionError
from runtime.kafka import close_consumer, partitions_by_topic

READ_SECONDS = 60.0
STALLED_SECONDS = 10.0  # how long an open transaction of another producer is waited for
LOOK_BACK = 64  # offsets: the last record is nearly always among the partition's last few
LOOK_BACK_FURTHER = 32  # times as many, if it is not
FETCH_WAIT_MS = 50
SHARED = 0  # the partition of the records about partitions that the topic does not have


def transactional_id(group: str, source: TopicPartition) -> str:
    """Name the producer that fences: constant for a group and input partition, whichever process owns it."""
    return f"{group}|{source.topic}|{source.partition}"


def offset_key(group: str, source: TopicPartition) -> bytes:
    """Key the group's records about `source`."""
    return transactional_id(group, source).encode()


def offset_value(next_offset: int) -> bytes:
    """Write that everything below `next_offset` is processed, in decimal digits."""
    return b"%d" % next_offset


async def read_offsets(
    options: Mapping[str, Any], topic: str, group: str, sources: Iterable[TopicPartition], *, wait: bool = True
) -> dict[TopicPartition, "OwnRecord"]:
    """Read the last record about each source on `topic`.

    `wait`: for the transactions that are open on these partitions when it begins, so that none that commits is missed.
    Without it, the answer is that of a moment ago.

    Raises:
        KafkaError: the broker reported an error, or there is no such topic.
        OpenTransactionError: a transaction stayed open.
        TimeoutError: it did not answer in time.
    """
    keys = {source: offset_key(group, source) for source in sources}
    async with asyncio.timeout(READ_SECONDS):
        existing = await _partitions(options, topic)
        own = {s: TopicPartition(topic, s.partition if s.partition in existing else SHARED) for s in keys}
        found = await _values(options, _wanted(own, keys), wait=wait)
        shared = {s: TopicPartition(topic, SHARED) for s in keys if keys[s] not in found and own[s].partition != SHARED}
        before = await _values(options, _wanted(shared, keys), wait=wait)
    places = {source: (shared if key in before else own)[source] for source, key in keys.items()}
    values = before | found
    return {source: OwnRecord(place, _offset(place, values.get(keys[source]))) for source, place in places.items()}


class OwnRecord(NamedTuple):
    """Says where the record about a source is, or goes if there is none yet, and the offset in it."""

    place: TopicPartition
    offset: int | None


def _offset(place: TopicPartition, value: bytes | None) -> int | None:
    """The inverse of `offset_value`; null, by which Kafka's tools delete a key, is no offset."""
    if value is not None and not value.isdigit():
        raise KafkaError(f"{place.topic}/{place.partition} holds something else than an offset for this group")
    return None if value is None else int(value)


#: Places, each with the keys that are looked for there.
Wanted: TypeAlias = Mapping[TopicPartition, Collection[bytes]]


def _wanted(places: Mapping[TopicPartition, TopicPartition], keys: Mapping[TopicPartition, bytes]) -> Wanted:
    wanted: dict[TopicPartition, set[bytes]] = defaultdict(set)
    for source, place in places.items():
        wanted[place].add(keys[source])
    return wanted


async def _partitions(options: Mapping[str, Any], topic: str) -> Collection[int]:
    async with _consumer(options, (), isolation_level="read_committed") as consumer:
        found = (await partitions_by_topic(consumer)).get(topic)
    if found is None:
        raise UnknownTopicOrPartitionError(topic)
    return found


async def _values(options: Mapping[str, Any], wanted: Wanted, *, wait: bool) -> dict[bytes, bytes | None]:
    """The value of the last record with each key."""
    if not wanted:
        return {}
    # Uncommitted: the whole log's, not what is before an open transaction. A new leader waits until it knows it
    # (KIP-207).
    isolation_level = "read_uncommitted" if wait else "read_committed"
    async with _consumer(options, wanted, isolation_level=isolation_level) as consumer:
        ends = await consumer.end_offsets(list(wanted))
    async with _consumer(options, wanted, isolation_level="read_committed") as consumer:
        return await _last_values(consumer, wanted, ends)


async def _last_values(
    consumer: AIOKafkaConsumer, wanted: Wanted, ends: Mapping[TopicPartition, int]
) -> dict[bytes, bytes | None]:
    """As `_values`, looked for from the ends backwards."""
    starts = await consumer.beginning_offsets(list(wanted))
    values: dict[bytes, bytes | None] = {}
    missing, look_back = set(wanted), LOOK_BACK
    while missing:
        begins = {place: max(starts[place], ends[place] - look_back) for place in missing}
        for place, begin in begins.items():
            consumer.seek(place, begin)
        values |= await _read(consumer, {place: wanted[place] for place in missing}, ends)
        missing = {
            place
            for place, begin in begins.items()
            if begin > starts[place] and not values.keys() >= set(wanted[place])
        }
        look_back *= LOOK_BACK_FURTHER
    return values


async def _read(
    consumer: AIOKafkaConsumer, wanted: Wanted, ends: Mapping[TopicPartition, int]
) -> dict[bytes, bytes | None]:
    """As `_last_values`, from where the consumer stands to the ends."""
    values: dict[bytes, bytes | None] = {}
    moved = time.monotonic()
    while unread := [place for place in wanted if await consumer.position(place) < ends[place]]:
        found = await consumer.getmany(*unread, timeout_ms=FETCH_WAIT_MS)
        for place, records in found.items():
            for record in records:
                if record.key in wanted[place]:
                    values[record.key] = record.value
        if found:
            moved = time.monotonic()
        elif time.monotonic() > moved + STALLED_SECONDS:
            for place in unread:
                if (hidden := open_transaction(consumer, place)) is not None:
                    raise OpenTransactionError(hidden)
            raise KafkaTimeoutError(f"no answer for {unread[0].topic}/{unread[0].partition}")
    return values


@asynccontextmanager
async def _consumer(
    options: Mapping[str, Any], places: Iterable[TopicPartition], *, isolation_level: str
) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        **options,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level=isolation_level,
        fetch_max_wait_ms=FETCH_WAIT_MS,
    )
    try:
        await consumer.start()
        consumer.assign(list(places))
        yield consumer
    finally:
        await close_consumer(consumer)
