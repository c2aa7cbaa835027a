"""Reads ranges of topics once, in order within each partition: bounded, without a group, committing nothing."""

import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from ops.kit.errors import OpsError, UnreachableError
from processors.kafka_transactions import open_transaction

POLL_MS = 250
SILENCE_SECONDS = 15.0  # without any progress, a broker counts as gone


@dataclass(frozen=True, slots=True)
class Range:
    """Holds offsets [start, end) of a partition."""

    start: int
    end: int

    def __len__(self) -> int:
        return max(0, self.end - self.start)


async def whole_topic(consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Range]:
    """What each partition holds now."""
    starts = await consumer.beginning_offsets(list(partitions))
    ends = await consumer.end_offsets(list(partitions))
    return {partition: Range(starts[partition], ends[partition]) for partition in partitions}


async def since(
    consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition], timestamp_ms: int
) -> dict[TopicPartition, Range]:
    """From the first record with at least this timestamp on, to the end of now; empty where there is none."""
    whole = await whole_topic(consumer, partitions)
    # The client writes into the mapping it is given.
    found = await consumer.offsets_for_times(dict.fromkeys(partitions, timestamp_ms))
    return {
        partition: Range(found[partition].offset if found[partition] else whole[partition].end, whole[partition].end)
        for partition in partitions
    }


async def scan(
    consumer: AIOKafkaConsumer, ranges: Mapping[TopicPartition, Range], *, at_most: int | None = None
) -> AsyncGenerator[Sequence[ConsumerRecord], None]:
    """Every record of the ranges that the consumer's isolation level shows, in chunks of one partition.

    `at_most`: records of a chunk. `ops.kit.kafka.reader` makes the consumer. Records that retention removed meanwhile
    are passed over.

    Raises:
        UnreachableError: nothing came for 15 s although there is something to read.
        OpsError: another producer's open transaction hides it.
    """
    left = {partition: wanted for partition, wanted in ranges.items() if len(wanted)}
    if not left:
        return
    consumer.assign(list(left))
    for partition, wanted in left.items():
        consumer.seek(partition, wanted.start)
    heard = time.monotonic()
    while left:
        # Not under a deadline: cancelling getmany() breaks the consumer.
        fetched = await consumer.getmany(timeout_ms=POLL_MS, max_records=at_most)
        for partition, records in fetched.items():
            within = [record for record in records if record.offset < ranges[partition].end]
            if within:
                yield within
        # Positions pass transaction markers, which end a range without a record.
        done = [partition for partition in left if await consumer.position(partition) >= left[partition].end]
        for partition in done:
            consumer.pause(partition)
            del left[partition]
        if fetched or done:
            heard = time.monotonic()
        elif time.monotonic() - heard > SILENCE_SECONDS:
            for partition in left:
                if (hidden := open_transaction(consumer, partition)) is not None:
                    raise OpsError(f"Kafka: {hidden}")
            raise UnreachableError("the broker stopped answering in the middle of a topic")


async def timestamps_at(
    consumer: AIOKafkaConsumer, topic: str, offsets: Mapping[int, int], *, seconds: float
) -> dict[int, int]:
    """The broker's timestamp (ms) of the record at an offset of each partition; left out is what takes longer.

    Give only offsets below the end of their partition: there is a record to wait for.
    """
    found: dict[int, int] = {}
    if not offsets:
        return found
    assigned = {TopicPartition(topic, number): offset for number, offset in offsets.items()}
    consumer.assign(list(assigned))
    for partition, offset in assigned.items():
        consumer.seek(partition, offset)
    deadline = time.monotonic() + seconds
    # Not asyncio.timeout: cancelling getmany() breaks the consumer (it never leaves its fetch context).
    while len(found) < len(assigned) and time.monotonic() < deadline:
        for partition, records in (await consumer.getmany(timeout_ms=POLL_MS)).items():
            found.setdefault(partition.partition, records[0].timestamp)
            consumer.pause(partition)
    return found
