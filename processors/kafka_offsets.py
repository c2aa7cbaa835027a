"""How far a group has processed each partition, as records of its own: topic `ringover.offset.v1`.

The transaction that emits a batch's events also writes the offset at which the next batch begins, and a takeover reads
it back. The group's committed offset is written beside it, for Kafka's tools; nothing begins from it, because a group
coordinator that comes back from a crash may show an older one (docs/design.md, "Where a takeover begins").
"""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, KafkaTimeoutError, UnknownTopicOrPartitionError

from runtime.kafka import close_consumer

READ_SECONDS = 60.0
STALLED_SECONDS = 10.0  # how long an open transaction of another producer is waited for
LOOK_BACK = 64  # offsets: the last record is nearly always among the partition's last few
LOOK_BACK_FURTHER = 32  # times as many, if it is not
FETCH_WAIT_MS = 50


def transactional_id(group: str, source: TopicPartition) -> str:
    """The id that fences: constant for a group and input partition, whichever process owns it."""
    return f"{group}|{source.topic}|{source.partition}"


def offset_key(group: str, source: TopicPartition) -> bytes:
    """The key of the group's records about `source`."""
    return transactional_id(group, source).encode()


def offset_value(next_offset: int) -> bytes:
    """Everything below `next_offset` is processed; decimal digits."""
    return b"%d" % next_offset


async def read_offsets(
    options: Mapping[str, Any], topic: str, group: str, sources: Iterable[TopicPartition], *, wait: bool = True
) -> dict[TopicPartition, int | None]:
    """The last committed offset of each source on `topic`; None where there never was one.

    `wait`: for the transactions that are open on these partitions when it begins, so that none that commits is missed.
    Without it, the answer is that of a moment ago.

    Raises:
        KafkaError: the broker reported an error, there is no such topic or partition, or a transaction stayed open.
        TimeoutError: it did not answer in time.
    """
    sources = list(sources)
    wanted = {TopicPartition(topic, source.partition): offset_key(group, source) for source in sources}
    async with asyncio.timeout(READ_SECONDS):
        # Uncommitted: the whole log's, not what is before an open transaction. A new leader waits until it knows it
        # (KIP-207).
        isolation_level = "read_uncommitted" if wait else "read_committed"
        async with _consumer(options, wanted, isolation_level=isolation_level) as consumer:
            seen = await consumer._client.fetch_all_metadata()  # noqa: SLF001 - `topics()` shows only names
            _require_partitions(topic, seen.partitions_for_topic(topic), sources)
            ends = await consumer.end_offsets(list(wanted))
        async with _consumer(options, wanted, isolation_level="read_committed") as consumer:
            values = await _last_values(consumer, wanted, ends)
    found = {place.partition: _offset(place, value) for place, value in values.items()}
    return {source: found.get(source.partition) for source in sources}


def _offset(place: TopicPartition, value: bytes | None) -> int | None:
    """The inverse of `offset_value`; null, by which Kafka's tools delete a key, is no offset."""
    if value is not None and not value.isdigit():
        raise KafkaError(f"{place.topic}/{place.partition} holds something else than an offset for this group")
    return None if value is None else int(value)


def _require_partitions(topic: str, existing: Collection[int] | None, sources: Iterable[TopicPartition]) -> None:
    """A partition that does not exist would be waited for."""
    if existing is None:
        raise UnknownTopicOrPartitionError(topic)
    missing = {source.partition for source in sources}.difference(existing)
    if missing:
        raise UnknownTopicOrPartitionError(
            f"{topic} has {len(existing)} partitions and needs as many as the raw topic: there is no {min(missing)}"
        )


async def _last_values(
    consumer: AIOKafkaConsumer, wanted: Mapping[TopicPartition, bytes], ends: Mapping[TopicPartition, int]
) -> dict[TopicPartition, bytes | None]:
    """The value of the last record with each partition's key, looked for from the end backwards."""
    starts = await consumer.beginning_offsets(list(wanted))
    values: dict[TopicPartition, bytes | None] = {}
    missing, look_back = set(wanted), LOOK_BACK
    while missing:
        begins = {place: max(starts[place], ends[place] - look_back) for place in missing}
        for place, begin in begins.items():
            consumer.seek(place, begin)
        values |= await _read(consumer, {place: wanted[place] for place in missing}, ends)
        missing = {place for place, begin in begins.items() if place not in values and begin > starts[place]}
        look_back *= LOOK_BACK_FURTHER
    return values


async def _read(
    consumer: AIOKafkaConsumer, wanted: Mapping[TopicPartition, bytes], ends: Mapping[TopicPartition, int]
) -> dict[TopicPartition, bytes | None]:
    """As `_last_values`, from where the consumer stands to the ends."""
    values: dict[TopicPartition, bytes | None] = {}
    moved = time.monotonic()
    while unread := [place for place in wanted if await consumer.position(place) < ends[place]]:
        found = await consumer.getmany(*unread, timeout_ms=FETCH_WAIT_MS)
        for place, records in found.items():
            for record in records:
                if record.key == wanted[place]:
                    values[place] = record.value
        if found:
            moved = time.monotonic()
        elif time.monotonic() > moved + STALLED_SECONDS:
            raise KafkaTimeoutError(f"no answer, or an open transaction on {unread[0].topic}/{unread[0].partition}")
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
