"""Runs a diff: reads outputs and raw records partition by partition, and looks claims up. Writes nothing anywhere."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from psycopg import AsyncConnection

from ops.calls.partition import outputs_of
from ops.calls.timeline import source_of
from ops.diff.compare import PartitionDiff, field_changes
from ops.diff.index import OutputIndex, fingerprint
from ops.diff.model import DiffResult, OutputEvent, OutputPlace
from ops.kit.claims import log_number, owners_of
from ops.kit.kafka import admin_client, reader
from ops.kit.postgres import database
from ops.kit.progress import Advance, unseen
from ops.kit.scan import Range, scan, since, whole_topic
from ops.kit.topics import partitions_of_all
from processors import normalize as todays
from processors.model import Normalized, Record, Verdict
from processors.settings import ProcessorSettings
from schemas import dead_letter
from schemas.headers import header
from schemas.topics import TopicNames

# Outputs carry their raw record's broker time, which grows along the log but for a change of leader between brokers
# whose clocks differ.
CLOCKS_DIFFER_MS = 10 * 60 * 1000

Normalize: TypeAlias = Callable[..., Verdict]  # processors.normalize.normalize, or another version of it


async def diff(
    settings: ProcessorSettings,
    ranges: Mapping[int, Range],
    *,
    normalize: Normalize = todays.normalize,
    examples: int = 10,
    advance: Advance = unseen,
) -> DiffResult:
    """Find what a pass of `normalize` over these ranges of the raw log would change on the topics.

    `ranges`: raw offsets by partition; give none that are not processed yet, they would all be new. Memory: some
    100 bytes for each raw record of the largest range.

    Raises:
        OpsError: Kafka or PostgreSQL is away or refuses.
    """
    names = TopicNames(settings.kafka_topic_prefix)
    async with (
        admin_client(settings) as admin,
        reader(settings, isolation="read_committed") as consumer,
        reader(settings, isolation="read_committed") as lookups,
        database(settings) as connection,
    ):
        counts = await partitions_of_all(admin, (names.raw, *names.outputs))
        log_id = await log_number(connection, settings.log_name)
        total = sum(map(len, ranges.values()))
        run = _Run(names, consumer, lookups, connection, log_id, counts, normalize, examples, advance, total)
        kept = await whole_topic(lookups, [TopicPartition(names.raw, number) for number in ranges])
        for raw, bounds in sorted(kept.items()):
            asked = ranges[raw.partition]
            await run.compare(raw, Range(max(asked.start, bounds.start), min(asked.end, bounds.end)))
    return run.result


@dataclass(slots=True)
class _Run:
    """Compares partition by partition, and holds what that needs."""

    names: TopicNames
    consumer: AIOKafkaConsumer
    lookups: AIOKafkaConsumer  # never fetches, so that questions do not queue behind a fetch that waits for records
    connection: AsyncConnection
    log_id: int | None
    counts: Mapping[str, int]  # partitions by topic
    normalize: Normalize
    examples: int
    advance: Advance
    total: int
    result: DiffResult = field(default_factory=DiffResult)

    async def compare(self, raw: TopicPartition, wanted: Range) -> None:
        first = await _first(self.consumer, raw, wanted)
        if first is None:
            return
        index = await self._index(raw, wanted, first.timestamp - CLOCKS_DIFFER_MS)
        comparing = PartitionDiff(index, self.names, self.result, raw.partition, wanted.start, self.examples)
        source = f"{raw.topic}/{raw.partition}"
        async for chunk in scan(self.consumer, {raw: wanted}):
            verdicts = [self.normalize(record, source=source) for record in chunk]
            keys = {verdict.claim_key for verdict in verdicts if isinstance(verdict, Normalized)}
            comparing.feed(chunk, verdicts, await owners_of(self.connection, self.log_id, keys))
            self.advance(len(chunk), total=self.total)
        for example, after in comparing.pending:
            before = await self._event_at(index.event_place(example.offset))
            self.result.examples.append(replace(example, fields=field_changes(before, after)))
        self.result.examples.sort(key=lambda example: (example.partition, example.offset))

    async def _index(self, raw: TopicPartition, wanted: Range, since_ms: int) -> OutputIndex:
        """Index the outputs of a range: all from its first record's time on, for passes come at any time."""
        outputs = [
            TopicPartition(topic, number)
            for topic in self.names.outputs
            for number in outputs_of(raw.partition, self.counts[topic], raw=self.counts[self.names.raw])
        ]
        index = OutputIndex(wanted, await self._horizons(outputs))
        ranges = await since(self.lookups, outputs, max(0, since_ms))
        self.total += sum(map(len, ranges.values()))
        async for chunk in scan(self.consumer, ranges):
            for record in chunk:
                source = source_of(record, raw.topic)
                if source is None or source.partition != raw.partition:
                    continue
                if record.topic == self.names.dead_letter:
                    code = (header(record.headers, dead_letter.CODE) or b"?").decode(errors="replace")
                    index.add_dead_letter(source.offset, code)
                else:
                    content = fingerprint(record.topic, record.key, record.value, record.headers, record.timestamp)
                    index.add_event(source.offset, OutputPlace(record.topic, record.partition, record.offset), content)
            self.advance(len(chunk), total=self.total)
        return index

    async def _horizons(self, outputs: Sequence[TopicPartition]) -> dict[str, float]:
        """The time of the first record left, of each topic that retention removed records of."""
        horizons = {}
        for partition, kept in (await whole_topic(self.lookups, outputs)).items():
            if kept.start > 0:
                first = await _first(self.consumer, partition, kept)
                horizons[partition.topic] = math.inf if first is None else first.timestamp
        return horizons

    async def _event_at(self, place: OutputPlace) -> OutputEvent:
        """The event as it is on its topic; empty when retention removed it meanwhile."""
        topic, number, offset = place
        found = await _first(self.consumer, TopicPartition(topic, number), Range(offset, offset + 1))
        if found is None:
            return OutputEvent(topic, Record(None, None, [], 0))
        return OutputEvent(topic, Record(found.key, found.value, list(found.headers), found.timestamp))


async def _first(consumer: AIOKafkaConsumer, partition: TopicPartition, wanted: Range) -> ConsumerRecord | None:
    async with aclosing(scan(consumer, {partition: wanted})) as chunks:
        async for chunk in chunks:
            return chunk[0]
    return None
