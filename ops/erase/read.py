"""Reads what is held of calls: every topic, aborted records included, and the rows of each call. Changes nothing.

Memory is bounded by the calls found, not by the topics' size.
"""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from ops.calls.partition import output_partitions, raw_partitions
from ops.erase.plan import CallState, ErasePlan, ErasureRequest, Holding, Keeping, erasable
from ops.erase.subject import Number, letter_pattern, searched
from ops.kit.claims import claims_of_call, conflicts_of_call, log_number
from ops.kit.errors import UnsafeError
from ops.kit.kafka import admin_client, reader
from ops.kit.postgres import database
from ops.kit.progress import ShowProgress
from ops.kit.scan import scan, whole_topic
from ops.kit.settings import StateSettings
from ops.kit.topics import TopicSpec, known_topics
from schemas.topics import TopicNames

HOUR_MS = 60 * 60 * 1000
MOST_CALLS = 10_000  # a number in more calls than that is one of the company's own


@dataclass(slots=True)
class Sweep:
    """Counts what one reading of the topics finds; `newest_ms`, `last` (offset): of what was found in a partition."""

    names: TopicNames
    known: Sequence[CallState]
    number: Number | None
    records: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    starts: dict[int, int] = field(default_factory=dict)
    newest_ms: dict[TopicPartition, int] = field(default_factory=dict)
    last: dict[TopicPartition, int] = field(default_factory=dict)

    def add(self, source: TopicPartition, record: ConsumerRecord, call_id: str | None) -> None:
        """Count a record; without a call id it is a dead letter that mentions the subject."""
        self.records[source.topic] += 1
        self.newest_ms[source] = max(self.newest_ms.get(source, 0), record.timestamp)
        self.last[source] = record.offset
        if call_id is not None:
            again = source.topic in (self.names.raw, self.names.dead_letter)
            (self.sources if again else self.events)[call_id] += 1

    def holding(self, topic: TopicSpec, peaks: Mapping[TopicPartition, int]) -> Holding:
        """What there is in one topic; see `Keeping.until` for the peaks."""
        if not self.records[topic.name]:
            return Holding(topic.name, 0, None, None)
        newest, peak = (
            max(ms for source, ms in times.items() if source.topic == topic.name) for times in (self.newest_ms, peaks)
        )
        until = Keeping.of(topic.config).until(peak)
        return Holding(topic.name, self.records[topic.name], datetime.fromtimestamp(newest / 1000, UTC), until)

    def state(self, call: CallState) -> CallState:
        """The call with what the topics have of it."""
        sources, events = self.sources[call.call_id], self.events[call.call_id]
        return replace(call, sources=sources, events=events, erasable=erasable(sources, call.claims, self.starts))


async def calls_of_number(settings: StateSettings, number: Number, progress: ShowProgress) -> frozenset[str]:
    """The calls that mention the number anywhere, in any topic.

    Raises:
        UnsafeError: so many that it cannot be one person's.
        OpsError: Kafka is away or refuses, or a topic is missing.
    """
    topics = await _topics(settings)
    mentioned = number.pattern().search
    found: set[str] = set()
    async with reader(settings, isolation="read_uncommitted") as consumer:
        ranges = await whole_topic(consumer, _partitions(topics.values()))
        with progress(f"searching for {number}", sum(map(len, ranges.values()))) as advance:
            async for chunk in scan(consumer, ranges):
                found.update(_call_ids(r for r in chunk if mentioned(searched(r.key, r.value, r.headers))))
                if len(found) > MOST_CALLS:
                    raise UnsafeError(
                        f"more than {MOST_CALLS:,} calls have the {number}: one of your own lines, not a person's?"
                    )
                advance(len(chunk))
    return frozenset(found)


async def read_plan(
    settings: StateSettings,
    subject: str,
    call_ids: frozenset[str],
    progress: ShowProgress,
    *,
    number: Number | None = None,
    requests: Sequence[ErasureRequest] = (),
) -> ErasePlan:
    """Everything about these calls, and dead letters that mention one of them or the number.

    Raises:
        OpsError: Kafka or PostgreSQL is away or refuses, or a topic is missing.
    """
    topics = await _topics(settings)
    known = await _rows(settings, sorted(call_ids))
    sweep = Sweep(TopicNames(settings.kafka_topic_prefix), known, number)
    async with reader(settings, isolation="read_uncommitted") as consumer:
        await _sweep(consumer, sweep, topics, progress)
        peaks = await _peaks(consumer, sweep)
    holdings = [sweep.holding(topic, peaks) for topic in topics.values()]
    return ErasePlan(subject, holdings, [sweep.state(call) for call in known], sweep.starts, requests)


async def _topics(settings: StateSettings) -> dict[str, TopicSpec]:
    names = TopicNames(settings.kafka_topic_prefix)
    wanted = (names.raw, *names.outputs)
    async with admin_client(settings) as admin:
        return await known_topics(admin, wanted)


async def _sweep(
    consumer: AIOKafkaConsumer, sweep: Sweep, topics: Mapping[str, TopicSpec], progress: ShowProgress
) -> None:
    raw, letters = topics[sweep.names.raw], topics[sweep.names.dead_letter]
    number, call_ids = sweep.number, frozenset(call.call_id for call in sweep.known)
    counts = {name: topic.partitions for name, topic in topics.items()}
    of_calls = raw_partitions(call_ids, sweep.names, counts, [claim for call in sweep.known for claim in call.claims])
    keyed = [
        TopicPartition(name, partition)
        for name, count in counts.items()
        if name != letters.name
        for partition in output_partitions(of_calls, count, raw=raw.partitions)
    ]
    ranges = await whole_topic(consumer, [*keyed, *_partitions([letters] if call_ids or number else [])])
    sweep.starts = {source.partition: found.start for source, found in ranges.items() if source.topic == raw.name}
    keys = {call_id.encode(): call_id for call_id in call_ids}
    pattern = letter_pattern(call_ids, number)
    with progress("reading", sum(map(len, ranges.values()))) as advance:
        async for chunk in scan(consumer, ranges):
            source = TopicPartition(chunk[0].topic, chunk[0].partition)
            for record in chunk:
                call_id = keys.get(record.key)
                if call_id is not None or (
                    pattern is not None and source.topic == letters.name and pattern.search(record.value or b"")
                ):
                    sweep.add(source, record, call_id)
            advance(len(chunk))


async def _peaks(consumer: AIOKafkaConsumer, sweep: Sweep) -> dict[TopicPartition, int]:
    """The highest time (ms) of anything up to the last record found in each partition, rounded up to the hour.

    Transaction markers count for a segment's age and are never delivered; the broker's index of times knows them. An
    event that a rewind has written has its old time between markers of the day of the rewind.
    """
    now = time.time_ns() // 1_000_000
    low = dict(sweep.newest_ms)
    high = {source: max(now, newest) + 1 for source, newest in low.items()}
    while wide := [source for source in low if high[source] - low[source] > HOUR_MS]:
        middle = {source: (low[source] + high[source]) // 2 for source in wide}
        found = await consumer.offsets_for_times(dict(middle))  # the client writes into the mapping it is given
        for source, asked in middle.items():
            at = found[source]
            side = low if at is not None and at.offset <= sweep.last[source] else high
            side[source] = asked
    return high


async def _rows(settings: StateSettings, call_ids: Sequence[str]) -> list[CallState]:
    """Read the state table's rows of each call; the topics are read afterwards."""
    found = []
    async with database(settings) as connection:
        log_id = await log_number(connection, settings.log_name)
        for call_id in call_ids:
            claims = await claims_of_call(connection, log_id, call_id)
            conflicts = await conflicts_of_call(connection, log_id, call_id)
            found.append(CallState(call_id, 0, 0, claims, conflicts, erasable=False))
    return found


def _call_ids(records: Iterable[ConsumerRecord]) -> Iterator[str]:
    """Their calls; a record without a readable key is a dead letter without a call, and found as such."""
    for record in records:
        with suppress(UnicodeDecodeError):
            if record.key:
                yield record.key.decode()


def _partitions(topics: Iterable[TopicSpec]) -> list[TopicPartition]:
    return [TopicPartition(topic.name, number) for topic in topics for number in range(topic.partitions)]
