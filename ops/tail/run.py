"""Follows the output topics with a consumer of its own: no group, nothing committed, read committed."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from ops.kit.kafka import admin_client, reader
from ops.kit.live import stopped
from ops.kit.record_view import RecordView
from ops.kit.topics import partitions_of
from runtime.settings import KafkaSettings

POLL_MS = 250  # how late a stop is noticed: getmany() must not be cancelled


@dataclass(frozen=True, slots=True)
class TailOptions:
    """What to follow, from where, and for how long (`maximum` records, None: until stopped)."""

    topics: Sequence[str]
    from_beginning: bool = False
    maximum: int | None = None


async def follow(
    settings: KafkaSettings, options: TailOptions, *, stop: asyncio.Event, ready: Callable[[], None]
) -> AsyncGenerator[RecordView, None]:
    """Records as they become visible, in order within a partition; calls `ready` once no later record can be missed.

    Raises:
        OpsError: the broker is away or refuses, or a topic is missing.
    """
    async with admin_client(settings) as admin:
        partitions = [
            TopicPartition(topic, number)
            for topic in options.topics
            for number in range(await partitions_of(admin, topic))
        ]
    left = options.maximum
    async with reader(settings, isolation="read_committed") as consumer:
        await _position(consumer, partitions, from_beginning=options.from_beginning)
        ready()
        while not stop.is_set() and left != 0:
            fetched = await consumer.getmany(timeout_ms=POLL_MS, max_records=left)
            for records in fetched.values():
                for record in records:
                    yield as_record(record)
                    left = None if left is None else left - 1


async def tail(
    settings: KafkaSettings, options: TailOptions, *, show: Callable[[RecordView], None], ready: Callable[[], None]
) -> None:
    """`follow` until SIGINT or SIGTERM, which end it in order."""
    stop = stopped()
    async with aclosing(follow(settings, options, stop=stop, ready=ready)) as records:
        async for record in records:
            show(record)


def as_record(record: ConsumerRecord) -> RecordView:
    """Our view of the client's record."""
    place = (record.topic, record.partition, record.offset, record.timestamp)
    return RecordView(*place, record.key, record.value, record.headers)


async def _position(consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition], *, from_beginning: bool) -> None:
    # Offsets are asked for now: the client's own "latest" is looked up with the first fetch, and misses what came
    # between the promise and it.
    lookup = consumer.beginning_offsets if from_beginning else consumer.end_offsets
    offsets = await lookup(list(partitions))
    consumer.assign(list(partitions))
    for partition, offset in offsets.items():
        consumer.seek(partition, offset)
