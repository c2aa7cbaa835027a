"""Reads everything of one call: its partitions of each topic once, and its claims."""

import time
from collections.abc import Mapping, Sequence
from heapq import merge
from operator import attrgetter

from aiokafka import ConsumerRecord, TopicPartition

from ops.calls.model import CallRecords, CallTimeline, TopicRecord
from ops.calls.partition import output_partitions, placed, raw_partitions
from ops.calls.timeline import build
from ops.kit.claims import ClaimRow, Source, claims_of_call, conflicts_of, log_number
from ops.kit.committed import committed_offsets
from ops.kit.groups import Group
from ops.kit.kafka import admin_client, reader
from ops.kit.postgres import database
from ops.kit.progress import Advance, ShowProgress
from ops.kit.scan import Range, scan
from ops.kit.scan import since as ranges_since
from ops.kit.times import parse_age
from ops.kit.topics import partitions_of_all
from processors.settings import ProcessorSettings
from schemas.topics import TopicNames


async def read_timeline(
    settings: ProcessorSettings, call_id: str, since: str, progress: ShowProgress, *, reveal: bool = False
) -> CallTimeline:
    """Read everything of a call that is at most as old as the age `since`, and build its timeline.

    Raises:
        UsageError: `since` is not an age.
        OpsError: Kafka or PostgreSQL is away or refuses, or a topic is missing.
    """
    age_ms = int(parse_age(since).total_seconds() * 1000)
    with progress(f"looking for call {call_id}") as advance:
        return build(await _read(settings, call_id, age_ms, advance), since=since, reveal=reveal)


async def _read(settings: ProcessorSettings, call_id: str, age_ms: int, advance: Advance) -> CallRecords:
    names = TopicNames(settings.kafka_topic_prefix)
    since_ms = max(0, time.time_ns() // 1_000_000 - age_ms)
    async with admin_client(settings) as admin:
        counts = await partitions_of_all(admin, (names.raw, *names.outputs))
        raw = [TopicPartition(names.raw, number) for number in range(counts[names.raw])]
        # Before the topics: what is committed by now has its outputs on them.
        group = Group(admin, settings.processor_group)
        committed = await committed_offsets(settings, group, raw, own_topic=names.offset)
    claims, conflicts = await _claims(settings, call_id)
    numbers = raw_partitions([call_id], names, counts, claims)
    partitions = [
        TopicPartition(topic, number)
        for topic, count in counts.items()
        for number in output_partitions(numbers, count, raw=len(raw))
    ]
    found, ends = await _records(settings, partitions, call_id.encode(), since_ms, advance)
    # Records of several partitions are ordered by the brokers' clocks, those of one partition by its log.
    received = merge(*(found[raw[number]] for number in numbers), key=attrgetter("timestamp"))
    return CallRecords(
        call_id=call_id,
        raw_topic=names.raw,
        partition=placed(call_id, names, counts),
        since_ms=since_ms,
        partitions=counts,
        committed=committed,
        raw_ends={number: ends[raw[number]].end for number in numbers},
        raw=list(received),
        outputs=[record for partition in partitions if partition.topic != names.raw for record in found[partition]],
        claims=claims,
        conflicts=conflicts,
    )


async def _claims(settings: ProcessorSettings, call_id: str) -> tuple[list[ClaimRow], frozenset[Source]]:
    async with database(settings) as connection:
        log_id = await log_number(connection, settings.log_name)
        claims = await claims_of_call(connection, log_id, call_id)
        return claims, await conflicts_of(connection, log_id, [claim.key for claim in claims])


async def _records(
    settings: ProcessorSettings,
    partitions: Sequence[TopicPartition],
    key: bytes,
    since_ms: int,
    advance: Advance,
) -> tuple[Mapping[TopicPartition, list[TopicRecord]], Mapping[TopicPartition, Range]]:
    """The records with this key, per partition, and what was read of each."""
    found: dict[TopicPartition, list[TopicRecord]] = {partition: [] for partition in partitions}
    async with reader(settings, isolation="read_committed") as consumer:
        ranges: Mapping[TopicPartition, Range] = await ranges_since(consumer, partitions, since_ms)
        total = sum(len(wanted) for wanted in ranges.values())
        async for chunk in scan(consumer, ranges):
            matches = [record for record in chunk if record.key == key]
            if matches:
                found[TopicPartition(chunk[0].topic, chunk[0].partition)] += map(_topic_record, matches)
            advance(len(chunk), total=total)
    return found, ranges


def _topic_record(record: ConsumerRecord) -> TopicRecord:
    return TopicRecord(
        record.topic, record.partition, record.offset, record.timestamp, record.key, record.value, list(record.headers)
    )
