"""Reads what the lag of a group is computed from: group state, committed offsets, log ends, record timestamps."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    NotCoordinatorForGroupError,
    for_code,
)

from ops.clients import admin_client, reader
from ops.errors import NotFoundError
from ops.lag import GroupLag, PartitionOffsets, next_unprocessed, partition_lag
from ops.topics_kafka import partitions_of
from runtime.settings import KafkaSettings

NO_OFFSET = -1  # OffsetFetch's answer for a partition without a commit
DEAD = "Dead"  # DescribeGroups' answer for a group that does not exist: not an error
COORDINATOR_SECONDS = 10
TIMESTAMP_SECONDS = 5.0
POLL_MS = 200

_COORDINATOR_MOVES = (GroupCoordinatorNotAvailableError, GroupLoadInProgressError, NotCoordinatorForGroupError)


async def read_lag(settings: KafkaSettings, *, group: str, topic: str) -> GroupLag:
    """The lag of `group` over `topic`, now.

    Raises:
        NotFoundError: no such group or topic.
        OpsError: the broker is away or refuses.
    """
    async with admin_client(settings) as admin:
        count = await partitions_of(admin, topic)
        partitions = [TopicPartition(topic, number) for number in range(count)]
        state = await _state(admin, group, await coordinator_of(admin, group))
        # Committed before the log end: the other way round, a busy group would show a negative lag.
        committed = await committed_offsets(admin, group, partitions)
    async with reader(settings, isolation="read_uncommitted") as consumer:
        return await lag_of_commits(consumer, partitions, committed, group=group, state=state)


async def committed_offsets(
    admin: AIOKafkaAdminClient, group: str, partitions: Sequence[TopicPartition]
) -> dict[int, int]:
    """What the group has committed, by partition, where it has."""
    coordinator = await coordinator_of(admin, group)
    found = await admin.list_consumer_group_offsets(group, coordinator, list(partitions))
    return {
        partition.partition: found[partition].offset for partition in partitions if found[partition].offset != NO_OFFSET
    }


async def _offsets(
    consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition], committed: Mapping[int, int]
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
    committed: Mapping[int, int],
    *,
    group: str,
    state: str,
) -> GroupLag:
    """The lag over one topic that follows from these commits; `consumer` is one of `ops.clients.reader`."""
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


async def coordinator_of(admin: AIOKafkaAdminClient, group: str) -> int:
    """The broker that coordinates the group."""
    # A cluster that never had a group creates the offsets topic at this question and answers "not yet".
    async with asyncio.timeout(COORDINATOR_SECONDS):
        while True:
            try:
                return int(await admin.find_coordinator(group))
            except _COORDINATOR_MOVES:
                await asyncio.sleep(POLL_MS / 1000)


@dataclass(frozen=True, slots=True)
class GroupMember:
    """One process of a group; `assignment` is the client protocol's bytes, None while the group rebalances."""

    client_id: str
    host: str
    assignment: bytes | None


async def describe_group(
    admin: AIOKafkaAdminClient, group: str, coordinator: int | None = None
) -> tuple[str, list[GroupMember]]:
    """State and members of a group; an unknown group is `Dead`, which is no error to Kafka."""
    if coordinator is None:
        coordinator = await coordinator_of(admin, group)
    async with asyncio.timeout(COORDINATOR_SECONDS):
        while True:
            (response,) = await admin.describe_consumer_groups([group], coordinator)
            code, _group, state, _type, _protocol, members, *_ = response.groups[0]
            if code in {error.errno for error in _COORDINATOR_MOVES}:
                await asyncio.sleep(POLL_MS / 1000)
                continue
            if code:
                raise for_code(code)
            # member id, [instance id from version 4 on,] client id, host, metadata, assignment
            return str(state), [GroupMember(member[-4], member[-3], member[-1] or None) for member in members]


async def _state(admin: AIOKafkaAdminClient, group: str, coordinator: int) -> str:
    state, _members = await describe_group(admin, group, coordinator)
    if state == DEAD:
        raise NotFoundError(
            f"no consumer group {group}: it never committed, or it expired (option --group, PROCESSOR_GROUP)"
        )
    return state


async def oldest_timestamps(consumer: AIOKafkaConsumer, topic: str, offsets: list[PartitionOffsets]) -> dict[int, int]:
    """The broker's timestamp of the first unprocessed record, for each partition that lags and answers in time."""
    starts = {found.partition: next_unprocessed(found) for found in offsets if next_unprocessed(found) < found.log_end}
    if not starts:
        return {}
    assigned = {number: TopicPartition(topic, number) for number in starts}
    consumer.assign(list(assigned.values()))
    for number, partition in assigned.items():
        consumer.seek(partition, starts[number])
    timestamps: dict[int, int] = {}
    deadline = time.monotonic() + TIMESTAMP_SECONDS
    # Not asyncio.timeout: cancelling getmany() breaks the consumer (it never leaves its fetch context).
    while len(timestamps) < len(assigned) and time.monotonic() < deadline:
        fetched = await consumer.getmany(timeout_ms=POLL_MS)
        for partition, records in fetched.items():
            timestamps.setdefault(partition.partition, records[0].timestamp)
            consumer.pause(partition)
    return timestamps
