"""Reads what a plan is made of: committed offsets, the log's bounds, what a goal must look up, times at the targets."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from ops.kit.errors import NotFoundError
from ops.kit.groups import Group
from ops.kit.scan import timestamps_at
from ops.kit.topics import partitions_of
from ops.rewind.offsets_kafka import committed
from ops.rewind.plan import Facts, Move
from ops.rewind.scope import Place
from ops.rewind.target import Goal, ToGroup, ToTime

TIMESTAMP_SECONDS = 10.0


async def scope(admin: AIOKafkaAdminClient, place: Place) -> list[TopicPartition]:
    """The partitions that a rewind is about.

    Raises:
        NotFoundError: there is no such topic, or no such partition.
    """
    count = await partitions_of(admin, place.topic)
    wanted = range(count) if place.partitions is None else place.partitions
    for number in wanted:
        if number >= count:
            raise NotFoundError(f"topic {place.topic} has partitions 0 to {count - 1}, and no {number}")
    return [TopicPartition(place.topic, number) for number in wanted]


async def read_facts(
    place: Place,
    group: Group,
    consumer: AIOKafkaConsumer,
    partitions: Sequence[TopicPartition],
    goal: Goal,
    *,
    progress: Mapping[int, int],
    fenced: bool,
) -> list[Facts]:
    """Each partition as it is now. `consumer` reads committed: the log's end is what consumers can see.

    `fenced`: see `offsets_kafka.committed`.
    """
    # Committed before the log's end: the other way round, a busy group would be beyond it.
    offsets = await committed(place, group, partitions, fenced=fenced)
    starts = await consumer.beginning_offsets(list(partitions))
    lookups = await _lookups(place, group, consumer, partitions, goal)
    ends = await consumer.end_offsets(list(partitions))
    return [
        Facts(
            partition=p.partition,
            committed=offsets[p.partition],
            log_start=starts[p],
            log_end=ends[p],
            progress=progress.get(p.partition),
            lookup=lookups.get(p.partition),
        )
        for p in partitions
    ]


async def _lookups(
    place: Place, group: Group, consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition], goal: Goal
) -> Mapping[int, int | None]:
    match goal:
        case ToTime(timestamp_ms=timestamp_ms):
            # The client writes into the mapping it is given, and answers None past the last record.
            found = await consumer.offsets_for_times(dict.fromkeys(partitions, timestamp_ms))
            return {p.partition: found[p].offset if found[p] else None for p in partitions}
        case ToGroup(group=other):
            return await committed(replace(place, group=other), await group.other(other), partitions, fenced=False)
        case _:
            return {}


async def timestamps(consumer: AIOKafkaConsumer, topic: str, moves: Sequence[Move]) -> dict[int, int]:
    """The broker's timestamp (ms) of the record at each target, for targets that have one."""
    wanted = {m.partition: m.target for m in moves if m.target is not None and m.target < m.log_end}
    return await timestamps_at(consumer, topic, wanted, seconds=TIMESTAMP_SECONDS)
