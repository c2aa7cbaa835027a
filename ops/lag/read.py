"""Reads what the lag of a group is computed from: group state, committed offsets, log ends, record timestamps."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from aiokafka import AIOKafkaConsumer, TopicPartition

from ops.kit.committed import committed_offsets
from ops.kit.groups import Group
from ops.kit.kafka import admin_client, reader
from ops.kit.scan import timestamps_at
from ops.kit.settings import LagSettings
from ops.kit.standstill import StandstillReader
from ops.kit.topics import partitions_of
from ops.lag.model import GroupLag, PartitionOffsets, next_unprocessed, partition_lag
from runtime.settings import KafkaSettings
from schemas.topics import TopicNames

TIMESTAMP_SECONDS = 5.0


async def look(reader: StandstillReader, settings: LagSettings, group: str | None, topic: str | None) -> GroupLag:
    """The lag now, by default of the processors over the raw topic: then with what they tell of their partitions.

    Raises:
        OpsError: Kafka is away or refuses, or there is no such group or topic.
    """
    ours, names = settings.processor_group, TopicNames(settings.kafka_topic_prefix)
    group, topic = group or ours, topic or names.raw
    if (group, topic) != (ours, names.raw):
        return await read_lag(settings, group=group, topic=topic)
    return await reader.add_to(await read_lag(settings, group=group, topic=topic, own_topic=names.offset))


async def read_lag(settings: KafkaSettings, *, group: str, topic: str, own_topic: str | None = None) -> GroupLag:
    """The lag of `group` over `topic`, now; `own_topic`: see `committed_offsets`.

    Raises:
        NotFoundError: no such group or topic.
        OpsError: the broker is away or refuses.
    """
    async with admin_client(settings) as admin:
        count = await partitions_of(admin, topic)
        partitions = [TopicPartition(topic, number) for number in range(count)]
        found = Group(admin, group)
        state = (await found.existing()).state
        # Committed before the log end: the other way round, a busy group would show a negative lag.
        committed = await committed_offsets(settings, found, partitions, own_topic=own_topic)
    async with reader(settings, isolation="read_uncommitted") as consumer:
        return await lag_of_commits(consumer, partitions, committed, group=group, state=state)


async def _offsets(
    consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition], committed: Mapping[int, int | None]
) -> list[PartitionOffsets]:
    starts = await consumer.beginning_offsets(list(partitions))
    ends = await consumer.end_offsets(list(partitions))
    return [
        PartitionOffsets(
            partition=partition.partition,
            log_start=starts[partition],
            log_end=ends[partition],
            committed=committed.get(partition.partition),
        )
        for partition in partitions
    ]


async def lag_of_commits(
    consumer: AIOKafkaConsumer,
    partitions: Sequence[TopicPartition],
    committed: Mapping[int, int | None],
    *,
    group: str,
    state: str,
) -> GroupLag:
    """The lag over one topic that follows from these commits; `consumer` is one of `ops.kit.kafka.reader`."""
    topic = partitions[0].topic
    offsets = await _offsets(consumer, partitions, committed)
    return group_lag(group, topic, state, offsets, await oldest_timestamps(consumer, topic, offsets))


def group_lag(
    group: str, topic: str, state: str, offsets: list[PartitionOffsets], timestamps: Mapping[int, int]
) -> GroupLag:
    """The arithmetic of all partitions, now."""
    now_ms = time.time_ns() // 1_000_000
    lags = (
        partition_lag(replace(found, oldest_timestamp_ms=timestamps.get(found.partition)), now_ms=now_ms)
        for found in offsets
    )
    return GroupLag(group=group, topic=topic, state=state, partitions=tuple(lags))


async def oldest_timestamps(consumer: AIOKafkaConsumer, topic: str, offsets: list[PartitionOffsets]) -> dict[int, int]:
    """The broker's timestamp of the first unprocessed record, for each partition that lags and answers in time."""
    starts = {found.partition: next_unprocessed(found) for found in offsets if next_unprocessed(found) < found.log_end}
    return await timestamps_at(consumer, topic, starts, seconds=TIMESTAMP_SECONDS)
