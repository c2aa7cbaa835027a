"""Runs a diff: reads outputs and raw records partition by partition, and looks claims up. Writes nothing anywhere."""

import math
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Protocol, cast

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from psycopg import AsyncConnection

from ops.calls.partition import outputs_of
from ops.calls.timeline import source_of
from ops.diff.compare import PartitionDiff, Pending, field_changes
from ops.diff.index import OutputIndex, fingerprint
from ops.diff.model import DiffResult, Output, Place
from ops.kit.claims import log_number, owners_of
from ops.kit.kafka import admin_client, reader
from ops.kit.postgres import database
from ops.kit.progress import Advance, unseen
from ops.kit.scan import Range, scan, since, whole_topic
from ops.kit.topics import partitions_of_all
from processors import normalize as todays
from processors.model import Normalized, RawRecord, Record, Verdict
from processors.settings import ProcessorSettings
from schemas import dead_letter
from schemas.headers import header
from schemas.topics import TopicNames

# Outputs carry their raw record's broker time, which grows along the log but for a change of leader between brokers
# whose clocks differ.
CLOCKS_DIFFER_MS = 10 * 60 * 1000


class Normalize(Protocol):
    """processors.normalize.normalize, or another version of it."""

    def __call__(self, record: RawRecord, *, source: str) -> Verdict:
        """Judge one raw record."""
        ...


@dataclass(slots=True)
class _Run:
    """What the steps of one diff share."""

    names: TopicNames
    consumer: AIOKafkaConsumer
    lookups: AIOKafkaConsumer  # never fetches, so that questions do not queue behind a fetch that waits for records
    connection: AsyncConnection
    log_id: int | None
    counts: Mapping[str, int]  # partitions by topic
    normalize: Normalize
    examples: int
    advance: Advance
    result: DiffResult
    total: int


async def diff(
    settings: ProcessorSettings,
    ranges: Mapping[int, Range],
    *,
    normalize: Normalize = todays.normalize,
    examples: int = 10,
    advance: Advance = unseen,
) -> DiffResult:
    """What a pass of `normalize` over these ranges of the raw log would change on the topics.

    `ranges`: raw offsets by partition; give none that are not processed yet, they would all be new. Memory: some
    100 bytes for each raw record of the largest range.

    Raises:
        OpsError: Kafka or PostgreSQL is away or refuses.
    """
    names = TopicNames(settings.kafka_topic_prefix)
    async with admin_client(settings) as admin:
        counts = await partitions_of_all(admin, (names.raw, *names.outputs))
    async with (
        reader(settings, isolation="read_committed") as consumer,
        reader(settings, isolation="read_committed") as lookups,
        database(settings) as connection,
    ):
        run = _Run(
            names=names,
            consumer=consumer,
            lookups=lookups,
            connection=connection,
            log_id=await log_number(connection, settings.log_name),
            counts=counts,
            normalize=normalize,
            examples=examples,
            advance=advance,
            result=DiffResult(),
            total=sum(len(wanted) for wanted in ranges.values()),
        )
        kept = await whole_topic(lookups, [TopicPartition(names.raw, number) for number in ranges])
        for raw, bounds in sorted(kept.items()):
            asked = ranges[raw.partition]
            await _partition(run, raw, Range(max(asked.start, bounds.start), min(asked.end, bounds.end)))
    return run.result


async def _partition(run: _Run, raw: TopicPartition, wanted: Range) -> None:
    first = await _first(run.consumer, {raw: wanted})
    if first is None:
        return
    index = await _index(run, raw, wanted, first.timestamp - CLOCKS_DIFFER_MS)
    comparing = PartitionDiff(
        index, run.names, run.result, partition=raw.partition, start=wanted.start, examples=run.examples
    )
    source = f"{raw.topic}/{raw.partition}"
    async for chunk in scan(run.consumer, {raw: wanted}):
        verdicts = [run.normalize(record, source=source) for record in chunk]
        keys = {verdict.claim_key for verdict in verdicts if isinstance(verdict, Normalized)}
        comparing.feed(chunk, verdicts, await owners_of(run.connection, run.log_id, keys))
        run.advance(len(chunk), total=run.total)
    for pending in comparing.pending:
        fields = field_changes(await _read(run.consumer, pending), pending.after)
        run.result.examples.append(replace(pending.example, fields=fields))
    run.result.examples.sort(key=lambda example: (example.partition, example.offset))


async def _index(run: _Run, raw: TopicPartition, wanted: Range, since_ms: int) -> OutputIndex:
    """What the topics hold of a range: everything from its first record's time on, for passes come at any time."""
    names = run.names
    outputs = [
        TopicPartition(topic, number)
        for topic in names.outputs
        for number in outputs_of(raw.partition, run.counts[topic], raw=run.counts[names.raw])
    ]
    index = OutputIndex(wanted, await _horizons(run, outputs))
    ranges = await since(run.lookups, outputs, max(0, since_ms))
    run.total += sum(len(part) for part in ranges.values())
    async for chunk in scan(run.consumer, ranges):
        dead = chunk[0].topic == names.dead_letter
        for record in chunk:
            source = source_of(record, raw.topic)
            if source is None or source.partition != raw.partition:
                continue
            if dead:
                index.add_dead_letter(
                    source.offset, (header(record.headers, dead_letter.CODE) or b"?").decode(errors="replace")
                )
            else:
                content = fingerprint(record.topic, record.key, record.value, record.headers, record.timestamp)
                index.add_event(source.offset, Place(record.topic, record.partition, record.offset), content)
        run.advance(len(chunk), total=run.total)
    return index


async def _horizons(run: _Run, outputs: Sequence[TopicPartition]) -> dict[str, float]:
    """The time of the first record left, of each topic that retention removed records of."""
    horizons = {}
    for partition, kept in (await whole_topic(run.lookups, outputs)).items():
        if kept.start > 0:
            first = await _first(run.consumer, {partition: kept})
            horizons[partition.topic] = math.inf if first is None else first.timestamp
    return horizons


async def _read(consumer: AIOKafkaConsumer, pending: Pending) -> Output:
    """The event as it is on its topic; empty when retention removed it meanwhile."""
    place = pending.before
    wanted = {TopicPartition(place.topic, place.partition): Range(place.offset, place.offset + 1)}
    found = await _first(consumer, wanted)
    if found is None:
        return Output(place.topic, Record(None, None, [], 0))
    return Output(place.topic, Record(found.key, found.value, list(found.headers), found.timestamp))


async def _first(consumer: AIOKafkaConsumer, wanted: Mapping[TopicPartition, Range]) -> ConsumerRecord | None:
    """The first record of a range of one partition."""
    chunks = cast("AsyncGenerator[Sequence[ConsumerRecord], None]", scan(consumer, wanted))
    async with aclosing(chunks):
        async for chunk in chunks:
            return chunk[0]
    return None
