"""Reads what the lag of a group is computed from: group state, committed offsets, log ends, record timestamps."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace

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
        coordinator = await _coordinator(admin, group)
        state = await _state(admin, group, coordinator)
        # Committed before the log end: the other way round, a busy group would show a negative lag.
        committed = await admin.list_consumer_group_offsets(group, coordinator, partitions)
    async with reader(settings, isolation="read_uncommitted") as consumer:
        starts = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
        offsets = [
            PartitionOffsets(
                partition=partition.partition,
                log_start=starts[partition],
                log_end=ends[partition],
                committed=None if committed[partition].offset == NO_OFFSET else committed[partition].offset,
            )
            for partition in partitions
        ]
        timestamps = await _oldest_timestamps(consumer, topic, offsets)
    return _group_lag(group, topic, state, offsets, timestamps)


def _group_lag(
    group: str, topic: str, state: str, offsets: list[PartitionOffsets], timestamps: Mapping[int, int]
) -> GroupLag:
    now_ms = time.time_ns() // 1_000_000
    lags = (
        partition_lag(replace(found, oldest_timestamp_ms=timestamps.get(found.partition)), now_ms=now_ms)
        for found in offsets
    )
    return GroupLag(group=group, topic=topic, state=state, partitions=tuple(lags))


async def _coordinator(admin: AIOKafkaAdminClient, group: str) -> int:
    # A cluster that never had a group creates the offsets topic at this question and answers "not yet".
    async with asyncio.timeout(COORDINATOR_SECONDS):
        while True:
            try:
                return int(await admin.find_coordinator(group))
            except _COORDINATOR_MOVES:
                await asyncio.sleep(POLL_MS / 1000)


async def _state(admin: AIOKafkaAdminClient, group: str, coordinator: int) -> str:
    async with asyncio.timeout(COORDINATOR_SECONDS):
        while True:
            (response,) = await admin.describe_consumer_groups([group], coordinator)
            code, _group, state, *_ = response.groups[0]
            if code in {error.errno for error in _COORDINATOR_MOVES}:
                await asyncio.sleep(POLL_MS / 1000)
                continue
            if code:
                raise for_code(code)
            if state == DEAD:
                raise NotFoundError(
                    f"no consumer group {group}: it never committed, or it expired (option --group, PROCESSOR_GROUP)"
                )
            return str(state)


async def _oldest_timestamps(consumer: AIOKafkaConsumer, topic: str, offsets: list[PartitionOffsets]) -> dict[int, int]:
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
