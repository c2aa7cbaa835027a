"""Follows the output topics with a consumer of its own: no group, nothing committed, read committed."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition

from ops.kit.kafka import admin_client, reader
from ops.kit.record_view import RecordView
from ops.kit.topics import partitions_of_all
from runtime.settings import KafkaSettings
from schemas.topics import OUTPUTS, TopicNames

ALL = "all"
CHOICES = (*(topic.short_name for topic in OUTPUTS), ALL)
POLL_MS = 250  # how late a stop is noticed: getmany() must not be cancelled


@dataclass(frozen=True, slots=True)
class TailOptions:
    """Says what to follow, from where, and for how long (`maximum` records, None: until stopped)."""

    topics: Sequence[str]
    from_beginning: bool = False
    maximum: int | None = None


def topic_names(names: TopicNames, chosen: str) -> Sequence[str]:
    """The full names of what `--topic` means; `chosen` is one of CHOICES."""
    return tuple(names.of(topic) for topic in OUTPUTS if chosen in (topic.short_name, ALL))


async def follow(
    settings: KafkaSettings, options: TailOptions, *, stop: asyncio.Event, ready: Callable[[], None]
) -> AsyncGenerator[RecordView, None]:
    """Yield records as they become visible, in order within a partition, until `stop` is set.

    `ready` is called once no later record can be missed.

    Raises:
        OpsError: the broker is away or refuses, or a topic is missing.
    """
    async with admin_client(settings) as admin:
        counts = await partitions_of_all(admin, options.topics)
    partitions = [TopicPartition(topic, number) for topic, count in counts.items() for number in range(count)]
    left = options.maximum
    async with reader(settings, isolation="read_committed") as consumer:
        await _position(consumer, partitions, from_beginning=options.from_beginning)
        ready()
        while not stop.is_set() and left != 0:
            fetched = await consumer.getmany(timeout_ms=POLL_MS, max_records=left)
            for records in fetched.values():
                for found in records:
                    place = (found.topic, found.partition, found.offset, found.timestamp)
                    yield RecordView(*place, found.key, found.value, found.headers)
                    left = None if left is None else left - 1


async def _position(consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition], *, from_beginning: bool) -> None:
    # Offsets are asked for now: the client's own "latest" is looked up with the first fetch, and misses what came
    # between the promise and it.
    lookup = consumer.beginning_offsets if from_beginning else consumer.end_offsets
    offsets = await lookup(list(partitions))
    consumer.assign(list(partitions))
    for partition, offset in offsets.items():
        consumer.seek(partition, offset)
