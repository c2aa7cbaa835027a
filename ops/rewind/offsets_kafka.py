"""Moves committed offsets: all in one transaction for the processors, by a plain commit for groups downstream."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, UnknownMemberIdError

from ops.clients import CLIENT_ID, kafka_errors
from ops.errors import UnsafeError
from ops.rewind.place import Place
from processors.kafka_output import START_SECONDS, transactional_id
from runtime.kafka import client_options, close_consumer, close_producer

TRANSACTION_TIMEOUT_MS = 5_000  # see ops.pause.Timing.commit
COMMIT_SECONDS = 10.0
AT_ONCE = 16  # producers that start at the same time


def own_id(group: str) -> str:
    """The tool's own transactional id: it fences an earlier run of the tool, and no partition's owner."""
    return f"{group}|rewind"


async def take_over(place: Place, partitions: Iterable[TopicPartition]) -> None:
    """End what every earlier owner of the partitions, and every earlier run of this tool, may still have open.

    From here on none of them can commit, and what they did commit shows.
    """
    options = client_options(place.settings, client_id=CLIENT_ID)
    at_once = asyncio.Semaphore(AT_ONCE)

    async def fence(partition: TopicPartition) -> None:
        async with at_once, _started(options, transactional_id(place.group, partition)):
            pass

    with kafka_errors(place.settings):
        async with _started(options, own_id(place.group)) as own:
            await asyncio.gather(*(fence(partition) for partition in partitions))
            await _touch(own, place)


async def _touch(producer: AIOKafkaProducer, place: Place) -> None:
    """Write an offset and take it back: a coordinator behind its own log may show older ones until then."""
    async with asyncio.timeout(COMMIT_SECONDS):
        await producer.begin_transaction()
        await producer.send_offsets_to_transaction({TopicPartition(place.topic, 0): 0}, place.group)
        await producer.abort_transaction()


async def commit_together(place: Place, targets: Mapping[int, int]) -> None:
    """Commit every target in one transaction: a crash leaves all of the old offsets or all of the new ones.

    After an error it is not known which: take over, then look.
    """
    options = client_options(place.settings, client_id=CLIENT_ID)
    offsets = {TopicPartition(place.topic, number): offset for number, offset in targets.items()}
    with kafka_errors(place.settings):
        async with _started(options, own_id(place.group)) as producer, asyncio.timeout(COMMIT_SECONDS):
            await producer.begin_transaction()
            await producer.send_offsets_to_transaction(offsets, place.group)
            await producer.commit_transaction()


async def commit_plainly(place: Place, targets: Mapping[int, int]) -> None:
    """Commit for a group that nobody is in; the broker itself refuses it for any other.

    Raises:
        UnsafeError: somebody is in the group.
    """
    options = client_options(place.settings, client_id=CLIENT_ID)
    with kafka_errors(place.settings):
        consumer = AIOKafkaConsumer(**options, group_id=place.group, enable_auto_commit=False)
        try:
            await consumer.start()
            offsets = {TopicPartition(place.topic, number): offset for number, offset in targets.items()}
            consumer.assign(list(offsets))
            async with asyncio.timeout(COMMIT_SECONDS):
                await consumer.commit(offsets)
        except (CommitFailedError, UnknownMemberIdError, IllegalStateError) as error:
            raise UnsafeError(f"group {place.group} has members again: stop them, then try again") from error
        finally:
            await close_consumer(consumer)


@asynccontextmanager
async def _started(options: Mapping[str, Any], identity: str) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(
        **options, transactional_id=identity, transaction_timeout_ms=TRANSACTION_TIMEOUT_MS, acks="all"
    )
    try:
        async with asyncio.timeout(START_SECONDS):
            await producer.start()
        yield producer
    finally:
        await close_producer(producer)
