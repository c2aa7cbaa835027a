"""`state verify`: reads the raw log once and compares the claims with it. Changes nothing."""

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import psycopg
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from ops.kit.claims import owners_of, progress_of, query
from ops.kit.kafka import reader
from ops.kit.postgres import database
from ops.kit.progress import Advance, ShowProgress
from ops.kit.scan import Range, scan
from ops.kit.settings import StateSettings
from ops.state.compare import Chunk, Fault, Finding, ValidRecord, compare
from ops.state.read import bounds, known_log, log_offsets
from processors.model import Normalized, Owner
from processors.normalize import normalize

CHUNK_RECORDS = 20_000  # of one partition; a claim's place is found by block ranges, so fewer questions are better
SEEN_KEYS = 100_000  # complaints remembered, to count each key once


@dataclass(slots=True)
class VerifyResult:
    """Tells what was compared and what differs; `findings` has the first ones, `counts` all.

    Claims of removed owners have one that is no longer in the log: nothing can be said about them.
    """

    also_in_json: ClassVar = ("clean",)

    log: str
    records: int = 0
    claims: int = 0
    claims_of_removed_owners: int = 0
    counts: dict[Fault, int] = field(default_factory=lambda: dict.fromkeys(Fault, 0))
    findings: list[Finding] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not any(self.counts.values())


class FindingCounter:
    """Counts findings in a result and keeps the first `most`; a key that several chunks complain of counts once."""

    def __init__(self, result: VerifyResult, most: int) -> None:
        self._result, self._most = result, most
        self._seen: set[tuple[Fault, str]] = set()

    def note(self, finding: Finding) -> None:
        """Count it, unless its key was seen, as far as memory goes."""
        mark = (finding.fault, finding.claim_key)
        if mark in self._seen:
            return
        self._result.counts[finding.fault] += 1
        if len(self._seen) < SEEN_KEYS:
            self._seen.add(mark)
        if len(self._result.findings) < self._most:
            self._result.findings.append(finding)


@dataclass(slots=True)
class LogVerifier:
    """Compares partitions of the raw log with the claims of one log, and counts what differs.

    In a topic that has grown a key may be in several partitions, and who claimed first owns it. `elsewhere`: owners in
    other partitions than a record with their key, by partition and offset, with what is told if they do not exist.
    """

    connection: psycopg.AsyncConnection
    log_id: int
    consumer: AIOKafkaConsumer
    result: VerifyResult
    counter: FindingCounter
    elsewhere: dict[int, dict[int, Finding]] = field(default_factory=lambda: defaultdict(dict))

    async def compare(self, source: TopicPartition, wanted: Range, advance: Advance) -> None:
        """Compare a range of a partition, both ways."""
        number = source.partition
        async for covered, valid, count in _chunks(self.consumer, source, wanted):
            chunk = Chunk(number, valid, await self._claimed(number, covered))
            owners = await owners_of(self.connection, self.log_id, chunk.unsettled())
            for finding in compare(chunk, owners):
                owner = owners.get(finding.claim_key)
                if finding.fault is Fault.WRONG_OWNER and owner is not None and owner.partition != number:
                    self.elsewhere[owner.partition].setdefault(owner.offset, finding)
                else:
                    self.counter.note(finding)
            self.result.records += count
            self.result.claims += len(chunk.claimed)
            advance(len(covered))

    async def settle(self, topic: str, ranges: Mapping[int, Range]) -> None:
        """Tell of the owners elsewhere that are not there; of what retention removed nobody knows, in any partition."""
        for partition, findings in self.elsewhere.items():
            kept = ranges.get(partition, Range(0, 0))
            wanted = Range(max(min(findings), kept.start), min(max(findings) + 1, kept.end))
            there: dict[int, str] = {}
            async for _, valid, _ in _chunks(self.consumer, TopicPartition(topic, partition), wanted):
                there |= {record.offset: record.key for record in valid if record.offset in findings}
            for offset, finding in findings.items():
                if offset >= kept.start and there.get(offset) != finding.claim_key:
                    self.counter.note(finding)

    async def _claimed(self, partition: int, covered: Range) -> dict[str, Owner]:
        """Claims whose owner lies in the range."""
        where = {"log_id": self.log_id, "partition": partition, "first": covered.start, "next": covered.end}
        rows = await query(self.connection, "claims_in_range", **where)
        return {key: Owner(partition, offset, content) for key, offset, content in rows}


async def verify(settings: StateSettings, progress: ShowProgress, *, most: int) -> VerifyResult:
    """Compare, partition by partition, from the log's start up to the progress.

    Raises:
        NotFoundError: nothing was ever claimed of the log.
    """
    async with database(settings) as connection, reader(settings, isolation="read_committed") as consumer:
        number = await known_log(connection, settings)
        # Progress first: what lies below it is claimed for good, whatever the processors do meanwhile.
        claimed_to = await progress_of(connection, settings.log_name)
        offsets = await log_offsets(settings)
        ((removed,),) = await query(connection, "claims_with_owner_removed", log_id=number, **bounds(offsets.starts))
        result = VerifyResult(settings.log_name, claims_of_removed_owners=removed)
        verifier = LogVerifier(connection, number, consumer, result, FindingCounter(result, most))
        ranges = {
            number: Range(kept.start, min(claimed_to.get(number, 0), kept.end))
            for number, kept in offsets.ranges.items()
        }
        with progress("comparing", sum(map(len, ranges.values()))) as advance:
            for partition, wanted in ranges.items():
                await verifier.compare(TopicPartition(settings.raw_topic, partition), wanted, advance)
            await verifier.settle(settings.raw_topic, offsets.ranges)
    return result


async def _chunks(
    consumer: AIOKafkaConsumer, source: TopicPartition, wanted: Range
) -> AsyncIterator[tuple[Range, list[ValidRecord], int]]:
    """The range in pieces that follow each other: offsets covered, valid records, and records in all."""
    first, valid, count = wanted.start, [], 0
    async for records in scan(consumer, {source: wanted}):
        valid += _valid(records, f"{source.topic}/{source.partition}")
        count += len(records)
        if count >= CHUNK_RECORDS:
            next_offset = records[-1].offset + 1
            yield Range(first, next_offset), valid, count
            first, valid, count = next_offset, [], 0
    if first < wanted.end:
        yield Range(first, wanted.end), valid, count


def _valid(records: Sequence[ConsumerRecord], source: str) -> list[ValidRecord]:
    verdicts = ((record.offset, normalize(record, source=source)) for record in records)
    return [
        ValidRecord(offset, verdict.claim_key, verdict.content_hash)
        for offset, verdict in verdicts
        if isinstance(verdict, Normalized)
    ]
