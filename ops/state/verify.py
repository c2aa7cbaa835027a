"""`state verify`: reads the raw log once and holds the claims against it. Changes nothing."""

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import psycopg
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from ops.kit.kafka import reader
from ops.kit.postgres import database
from ops.kit.progress import Advance, shown_progress
from ops.kit.scan import Range, scan
from ops.state.compare import Chunk, Fault, Finding, Valid, compare
from ops.state.session import StateSettings, log_id, log_offsets, progress_of, query
from processors.model import Normalized, Owner
from processors.normalize import normalize

CHUNK_RECORDS = 20_000  # of one partition; a claim's place is found by block ranges, so fewer questions are better
SEEN_KEYS = 100_000  # complaints remembered, to count each key once


@dataclass(slots=True)
class Verdict:
    """What was looked at and what differs; `findings` has the first `most` of them, `counts` all.

    `removed` claims have an owner that is no longer in the log: nothing can be said about them.
    """

    log: str
    most: int
    records: int = 0
    claims: int = 0
    removed: int = 0
    counts: dict[Fault, int] = field(default_factory=lambda: dict.fromkeys(Fault, 0))
    findings: list[Finding] = field(default_factory=list)
    _seen: set[tuple[Fault, str]] = field(default_factory=set)

    @property
    def clean(self) -> bool:
        """Whether nothing differs."""
        return not any(self.counts.values())

    def note(self, finding: Finding) -> None:
        """Count a finding; a key that several chunks complain of counts once, as far as memory goes."""
        mark = (finding.fault, finding.key)
        if mark in self._seen:
            return
        self.counts[finding.fault] += 1
        if len(self._seen) < SEEN_KEYS:
            self._seen.add(mark)
        if len(self.findings) < self.most:
            self.findings.append(finding)


async def verify(settings: StateSettings, *, most: int) -> Verdict:
    """Compare, partition by partition, from the log's start up to the progress.

    Raises:
        NotFoundError: nothing was ever claimed of the log.
    """
    async with database(settings) as connection:
        number = await log_id(connection, settings.log_name)
        # Progress first: what lies below it is claimed for good, whatever the processors do meanwhile.
        progress = await progress_of(connection, number)
        offsets = await log_offsets(settings)
        ranges = {
            partition: Range(found.start, min(progress.get(partition, 0), found.end))
            for partition, found in offsets.ranges.items()
        }
        where = {"log_id": number, **offsets.bounds}
        removed = (await query(connection, "claims_with_owner_removed", where))[0][0]
        verdict = Verdict(settings.log_name, most, removed=removed)
        table = Table(connection, number)
        with shown_progress("comparing", sum(len(wanted) for wanted in ranges.values())) as advance:
            async with reader(settings, isolation="read_committed") as consumer:
                elsewhere: Elsewhere = defaultdict(dict)
                for partition, wanted in ranges.items():
                    source = TopicPartition(settings.raw_topic, partition)
                    await _partition(Log(consumer, source, wanted), table, verdict, elsewhere, advance)
                for partition, findings in elsewhere.items():
                    source = TopicPartition(settings.raw_topic, partition)
                    kept = offsets.ranges.get(partition, Range(0, 0))
                    wanted = Range(max(min(findings), kept.start), min(max(findings) + 1, kept.end))
                    await _settle(Log(consumer, source, wanted), findings, kept.start, verdict)
    return verdict


#: Owners in other partitions than a record with their key, by partition and offset: in a topic that has grown a key may
#: be in several, and who claimed first owns it. With what is to be told if there is no such record.
Elsewhere: TypeAlias = dict[int, dict[int, Finding]]


@dataclass(frozen=True, slots=True)
class Log:
    """A range of one partition of the raw log."""

    consumer: AIOKafkaConsumer
    source: TopicPartition
    wanted: Range

    async def chunks(self) -> AsyncIterator[tuple[Range, list[Valid], int]]:
        """The range in pieces that follow each other: offsets covered, valid records, and records in all."""
        first, valid, count = self.wanted.start, [], 0
        async for records in scan(self.consumer, {self.source: self.wanted}):
            valid += self._valid(records)
            count += len(records)
            if count >= CHUNK_RECORDS:
                next_offset = records[-1].offset + 1
                yield Range(first, next_offset), valid, count
                first, valid, count = next_offset, [], 0
        if first < self.wanted.end:
            yield Range(first, self.wanted.end), valid, count

    def _valid(self, records: Sequence[ConsumerRecord]) -> list[Valid]:
        source = f"{self.source.topic}/{self.source.partition}"
        verdicts = ((record.offset, normalize(record, source=source)) for record in records)
        return [
            Valid(offset, verdict.claim_key, verdict.content_hash)
            for offset, verdict in verdicts
            if isinstance(verdict, Normalized)
        ]


@dataclass(frozen=True, slots=True)
class Table:
    """The claims of one log."""

    connection: psycopg.AsyncConnection
    log_id: int

    async def claimed(self, partition: int, covered: Range) -> dict[str, Owner]:
        """Claims whose owner lies in the range."""
        where = {"log_id": self.log_id, "partition": partition, "first": covered.start, "next": covered.end}
        rows = await query(self.connection, "claims_in_range", where)
        return {key: Owner(partition, offset, content) for key, offset, content in rows}

    async def owners(self, keys: Sequence[str]) -> dict[str, Owner]:
        """Claims of these keys."""
        if not keys:
            return {}
        rows = await query(self.connection, "owners_of_keys", {"log_id": self.log_id, "keys": list(keys)})
        return {key: Owner(partition, offset, content) for key, partition, offset, content in rows}


async def _partition(log: Log, table: Table, verdict: Verdict, elsewhere: Elsewhere, advance: Advance) -> None:
    number = log.source.partition
    async for covered, valid, count in log.chunks():
        chunk = Chunk(number, valid, await table.claimed(number, covered))
        owners = await table.owners(chunk.unsettled())
        for finding in compare(chunk, owners):
            owner = owners.get(finding.key)
            if finding.fault is Fault.WRONG_OWNER and owner is not None and owner.partition != number:
                elsewhere[owner.partition].setdefault(owner.offset, finding)
            else:
                verdict.note(finding)
        verdict.records += count
        verdict.claims += len(chunk.claimed)
        advance(len(covered))


async def _settle(log: Log, findings: Mapping[int, Finding], start: int, verdict: Verdict) -> None:
    """Tell of the owners that are not there; of what retention removed nobody knows, in any partition."""
    there: dict[int, str] = {}
    async for _, valid, _ in log.chunks():
        there |= {record.offset: record.key for record in valid if record.offset in findings}
    for offset, finding in findings.items():
        if offset >= start and there.get(offset) != finding.key:
            verdict.note(finding)
