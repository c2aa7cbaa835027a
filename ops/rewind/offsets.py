"""Reads and moves committed offsets: for the processors on their own topic, in one transaction; for others as usual."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, UnknownMemberIdError

from ops.kit.committed import committed_offsets
from ops.kit.errors import UnsafeError
from ops.kit.groups import Group
from ops.kit.kafka import CLIENT_ID, kafka_errors
from ops.rewind.target import RewindScope
from processors.kafka_offsets import offset_key, offset_value, read_offsets, transactional_id
from processors.kafka_output import START_SECONDS, require_known
from runtime.kafka import client_options, close_consumer, close_producer

TRANSACTION_TIMEOUT_MS = 5_000  # see ops.kit.pause.Timing.commit
COMMIT_SECONDS = 10.0
AT_ONCE = 16  # producers that start at the same time


def own_id(group: str) -> str:
    """The tool's own transactional id: it fences an earlier run of the tool, and no partition's owner."""
    return f"{group}|rewind"


async def take_over(scope: RewindScope, partitions: Iterable[TopicPartition]) -> None:
    """End what every earlier owner of the partitions, and every earlier run of this tool, may still have open.

    From here on none of them can commit, and what they did commit shows.
    """
    options = client_options(scope.settings, client_id=CLIENT_ID)
    at_once = asyncio.Semaphore(AT_ONCE)

    async def fence(partition: TopicPartition) -> None:
        async with at_once, _started(options, transactional_id(scope.group, partition)):
            pass

    with kafka_errors(scope.settings, transaction_ms=TRANSACTION_TIMEOUT_MS):
        async with _started(options, own_id(scope.group)):
            await asyncio.gather(*(fence(partition) for partition in partitions))


async def committed(
    scope: RewindScope, group: Group, partitions: Sequence[TopicPartition], *, fenced: bool
) -> dict[int, int | None]:
    """Read the committed offset of each partition, None where there is none.

    `fenced`: `take_over` came before, so nothing of this group is open, and what others have open is waited for.
    """
    own_topic = scope.names.offset if scope.ours else None
    return await committed_offsets(scope.settings, group, partitions, own_topic=own_topic, wait=fenced)


async def commit_together(scope: RewindScope, targets: Mapping[int, int]) -> None:
    """Commit every target in one transaction, as `processors.kafka_output` commits one.

    A crash leaves all of the old offsets or all of the new ones. After an error it is not known which: take over, then
    look.
    """
    options, topic = client_options(scope.settings, client_id=CLIENT_ID), scope.names.offset
    offsets = _by_partition(scope, targets)
    with kafka_errors(scope.settings, transaction_ms=TRANSACTION_TIMEOUT_MS):
        async with _started(options, own_id(scope.group)) as producer, asyncio.timeout(COMMIT_SECONDS):
            records = await read_offsets(options, topic, scope.group, offsets)
            for record in records.values():
                await require_known(producer, record.place)
            await producer.begin_transaction()
            sent = []
            for partition, offset in offsets.items():
                value, key = offset_value(offset), offset_key(scope.group, partition)
                sent.append(producer.send_and_wait(topic, value, key, partition=records[partition].place.partition))
            await asyncio.gather(*sent)
            await producer.send_offsets_to_transaction(offsets, scope.group)
            await producer.commit_transaction()


async def commit_plainly(scope: RewindScope, targets: Mapping[int, int]) -> None:
    """Commit for a group that nobody is in; the broker itself refuses it for any other.

    Raises:
        UnsafeError: somebody is in the group.
    """
    options, offsets = client_options(scope.settings, client_id=CLIENT_ID), _by_partition(scope, targets)
    with kafka_errors(scope.settings):
        consumer = AIOKafkaConsumer(**options, group_id=scope.group, enable_auto_commit=False)
        try:
            await consumer.start()
            consumer.assign(list(offsets))
            async with asyncio.timeout(COMMIT_SECONDS):
                await consumer.commit(offsets)
        except (CommitFailedError, UnknownMemberIdError, IllegalStateError) as error:
            raise UnsafeError(f"group {scope.group} has members again: stop them, then try again") from error
        finally:
            await close_consumer(consumer)


def _by_partition(scope: RewindScope, targets: Mapping[int, int]) -> dict[TopicPartition, int]:
    return {TopicPartition(scope.topic, number): offset for number, offset in targets.items()}


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
