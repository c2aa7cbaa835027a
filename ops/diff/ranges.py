"""Which part of the raw log a diff may look at: what the group has processed."""

import time

from aiokafka import TopicPartition

from ops.calls.read import committed_offsets
from ops.clients import admin_client, reader
from ops.scan import Range, since, whole_topic
from ops.times import parse_age
from ops.topics_kafka import partitions_of
from processors.settings import ProcessorSettings
from schemas.topics import TopicNames


async def processed_ranges(settings: ProcessorSettings, age: str | None) -> dict[int, Range]:
    """The processed part of each raw partition; only records at most so old, if `age` is given.

    Raises:
        OpsError: Kafka is away or refuses, or the age is none.
    """
    topic = TopicNames(settings.kafka_topic_prefix).raw
    began_ms = None if age is None else time.time_ns() // 1_000_000 - int(parse_age(age).total_seconds() * 1000)
    async with admin_client(settings) as admin:
        partitions = [TopicPartition(topic, number) for number in range(await partitions_of(admin, topic))]
        committed = await committed_offsets(admin, settings.processor_group, partitions)
    async with reader(settings, isolation="read_committed") as consumer:
        if began_ms is None:
            kept = await whole_topic(consumer, partitions)
        else:
            kept = await since(consumer, partitions, max(0, began_ms))
    return {
        partition.partition: Range(kept[partition].start, min(kept[partition].end, committed.get(partition, 0)))
        for partition in partitions
    }
