"""Reads the lag of a group: its state and committed offsets, the log's ends, and how old the first record left is."""

import time
from collections.abc import Mapping, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition

from ops.kit.committed import committed_offsets
from ops.kit.groups import Group
from ops.kit.kafka import admin_client, reader
from ops.kit.scan import timestamps_at, whole_topic
from ops.kit.settings import OffsetSettings
from ops.kit.standstill import StandstillReader
from ops.kit.topics import partitions_of
from ops.lag.model import GroupLag, PartitionOffsets, partition_lag
from runtime.settings import KafkaSettings
from schemas.topics import TopicNames

TIMESTAMP_SECONDS = 5.0


async def lag_with_standstills(
    standstills: StandstillReader, settings: OffsetSettings, group: str | None, topic: str | None
) -> GroupLag:
    """Read the lag now, by default of the processors over the raw topic: then with what they tell of their partitions.

    Raises:
        OpsError: Kafka is away or refuses, or there is no such group or topic.
    """
    ours, names = settings.processor_group, TopicNames(settings.kafka_topic_prefix)
    group, topic = group or ours, topic or names.raw
    if (group, topic) != (ours, names.raw):
        return await read_lag(settings, group=group, topic=topic)
    return await standstills.add_to(await read_lag(settings, group=group, topic=topic, own_topic=names.offset))


async def read_lag(settings: KafkaSettings, *, group: str, topic: str, own_topic: str | None = None) -> GroupLag:
    """Read the lag of `group` over `topic` now; `own_topic`: see `committed_offsets`.

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


async def lag_of_commits(
    consumer: AIOKafkaConsumer,
    partitions: Sequence[TopicPartition],
    committed: Mapping[int, int | None],
    *,
    group: str,
    state: str,
) -> GroupLag:
    """Read the log of one topic and compute the lag of these commits; `consumer` is one of `ops.kit.kafka.reader`."""
    topic = partitions[0].topic
    log = await whole_topic(consumer, partitions)
    offsets = [PartitionOffsets(p.partition, log[p].start, log[p].end, committed.get(p.partition)) for p in partitions]
    lagging = {found.partition: first for found in offsets if (first := found.first_unprocessed) < found.log_end}
    oldest = await timestamps_at(consumer, topic, lagging, seconds=TIMESTAMP_SECONDS)
    now_ms = time.time_ns() // 1_000_000
    lags = [partition_lag(found, oldest.get(found.partition), now_ms=now_ms) for found in offsets]
    return GroupLag(group, topic, state, lags)
