"""Sends dead letters to the raw topic, each exactly once, whatever crashes on the way.

Per chunk: note in the ledger what is about to be sent -> send -> note where it is. A run that ends in between leaves
unsettled rows. The next run settles them before it does anything else: it looks for their markers in the raw log.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from ops.dead_letters.ledger import LedgerEntry, ReplayLedger
from ops.dead_letters.model import LetterId, marked
from ops.dead_letters.plan import ReplayKind, ReplayRecord
from ops.kit.kafka import CLIENT_ID, kafka_errors, reader
from ops.kit.scan import Range, scan, whole_topic
from runtime.kafka import client_options, close_producer
from runtime.settings import KafkaSettings
from schemas.topics import MAX_MESSAGE_BYTES

CHUNK_RECORDS = 500
# How old a row must be before an absent record counts as never sent: the dead run's last request may still be on its
# way, or not yet on every replica and so invisible.
SETTLE_AFTER_SECONDS = 5.0
SEND_SECONDS = 30.0
BATCH_BYTES = 256 * 1024


class RawTopic:
    """Reads and writes the raw topic for replays. Made by `raw_topic`, where errors are converted."""

    def __init__(self, consumer: AIOKafkaConsumer, producer: AIOKafkaProducer, name: str) -> None:
        self._consumer = consumer
        self._producer = producer
        self._name = name

    async def ends(self, partitions: Collection[int]) -> dict[int, int]:
        """Return where these partitions end now."""
        wanted = [TopicPartition(self._name, number) for number in partitions]
        return {found.partition: end for found, end in (await self._consumer.end_offsets(wanted)).items()}

    async def find(
        self, letter_ids: Collection[LetterId], starts: Mapping[int, int], dead_letter_topic: str
    ) -> dict[LetterId, int]:
        """Find the first record from `starts` (offsets by partition) on that was sent for each of `letter_ids`."""
        whole = await whole_topic(self._consumer, [TopicPartition(self._name, number) for number in starts])
        ranges = {
            partition: Range(max(starts[partition.partition], kept.start), kept.end)
            for partition, kept in whole.items()
        }
        found: dict[LetterId, int] = {}
        async for records in scan(self._consumer, ranges):
            for record in records:
                letter_id = marked(record.headers, dead_letter_topic)
                if letter_id is not None and letter_id in letter_ids:
                    found.setdefault(letter_id, record.offset)
        return found

    async def produce(self, records: Sequence[ReplayRecord]) -> dict[LetterId, int]:
        """Write the records in order; return their offsets once every in-sync replica has them.

        Any exception leaves it open what was written, and this producer must not be used again.
        """
        async with asyncio.timeout(SEND_SECONDS):
            sent = [
                await self._producer.send(
                    self._name, record.value, key=record.key, partition=record.partition, headers=record.headers
                )
                for record in records
            ]
            written = await asyncio.gather(*sent)
        places = zip((record.letter_id for record in records), (found.offset for found in written), strict=True)
        # A broker that has a batch already may not say where (-1): the next run finds it by its marker.
        return {letter_id: offset for letter_id, offset in places if offset >= 0}


@asynccontextmanager
async def raw_topic(settings: KafkaSettings, name: str) -> AsyncIterator[RawTopic]:
    """Open the raw topic for reading and writing; the client's errors inside the context are converted."""
    # Uncommitted: a record that another transaction hides from consumers is in the log all the same.
    async with reader(settings, isolation="read_uncommitted") as consumer:
        with kafka_errors(settings):
            # Idempotent, unlike the ingress's: a retry must not write twice. What it cannot recover from ends this
            # run, and the next one settles.
            producer = AIOKafkaProducer(
                **client_options(settings, client_id=CLIENT_ID),
                enable_idempotence=True,
                acks="all",
                max_request_size=MAX_MESSAGE_BYTES,
                max_batch_size=BATCH_BYTES,
            )
            try:
                await producer.start()
                yield RawTopic(consumer, producer, name)
            finally:
                await close_producer(producer)


class ReplaySender:
    """Sends in one run what the ledger does not have yet; the ledger's lock must be held."""

    def __init__(self, ledger: ReplayLedger, raw: RawTopic, dead_letter_topic: str) -> None:
        self._ledger = ledger
        self._raw = raw
        self._topic = dead_letter_topic

    async def send(self, records: Sequence[ReplayRecord], kind: ReplayKind) -> int:
        """Send one chunk; return how many were sent. Those that the ledger has already are passed over."""
        ends = await self._raw.ends({record.partition for record in records})
        begun = await self._ledger.begin(records, ends, kind)
        fresh = [record for record in records if record.letter_id in begun]
        await self._send(fresh)
        return len(fresh)

    async def settle(self, entries: Collection[LedgerEntry]) -> dict[LetterId, LedgerEntry]:
        """Note where unsettled rows' records are; return the rows whose record was never sent, once that is certain."""
        found: dict[LetterId, int] = {}
        missing = {entry.letter_id: entry for entry in entries}
        waited = 0.0
        while missing:
            found |= await self._find(missing.values())
            missing = {letter_id: entry for letter_id, entry in missing.items() if letter_id not in found}
            youngest = min((entry.age_seconds for entry in missing.values()), default=SETTLE_AFTER_SECONDS)
            wait = SETTLE_AFTER_SECONDS - youngest - waited
            if wait <= 0:
                break
            await asyncio.sleep(wait)
            waited += wait
        if found:
            await self._ledger.note(found)
        return missing

    async def send_begun(self, records: Sequence[ReplayRecord]) -> None:
        """Send what `settle` has found missing: its rows are in the ledger already."""
        for start in range(0, len(records), CHUNK_RECORDS):
            await self._send(records[start : start + CHUNK_RECORDS])

    async def _send(self, records: Sequence[ReplayRecord]) -> None:
        if records:
            await self._ledger.note(await self._raw.produce(records))

    async def _find(self, entries: Collection[LedgerEntry]) -> dict[LetterId, int]:
        starts: dict[int, int] = {}
        for entry in entries:
            starts[entry.raw_partition] = min(entry.raw_end, starts.get(entry.raw_partition, entry.raw_end))
        return await self._raw.find({entry.letter_id for entry in entries}, starts, self._topic)
