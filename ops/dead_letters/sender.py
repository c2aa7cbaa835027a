"""Sends dead letters to the raw topic, each exactly once, whatever crashes on the way.

Per chunk: note in the ledger what is about to be sent -> send -> note where it is. A run that ends in between leaves
unsettled rows. The next run settles them before it does anything else: it looks for their markers in the raw log.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from ops.dead_letters.ledger import LedgerEntry, ReplayLedger
from ops.dead_letters.model import LetterId, marked
from ops.dead_letters.plan import ReplayKind, ReplayRecord
from ops.kit.kafka import CLIENT_ID, kafka_errors, reader
from ops.kit.scan import Range, scan, whole_topic
from runtime.kafka import client_options, close_producer
from runtime.settings import KafkaSettings
from schemas.topics import MAX_MESSAGE_BYTES, TopicNames

CHUNK_RECORDS = 500
# How old a row must be before an absent record counts as never sent: the dead run's last request may still be on its
# way, or not yet on every replica and so invisible.
SETTLE_AFTER_SECONDS = 5.0
SEND_SECONDS = 30.0
BATCH_BYTES = 256 * 1024


class ReplaySender:
    """Sends in one run what the ledger does not have yet; the ledger's lock is held. Made by `replay_sender`.

    Errors of the clients are converted there.
    """

    def __init__(
        self, ledger: ReplayLedger, consumer: AIOKafkaConsumer, producer: AIOKafkaProducer, names: TopicNames
    ) -> None:
        self._ledger = ledger
        self._consumer = consumer
        self._producer = producer
        self._names = names

    async def send(self, records: Sequence[ReplayRecord], kind: ReplayKind) -> int:
        """Send one chunk; return how many were sent. Those that the ledger has already are passed over."""
        ends = await self._consumer.end_offsets(self._places({record.partition for record in records}))
        raw_ends = {place.partition: end for place, end in ends.items()}
        begun = await self._ledger.begin(records, raw_ends, kind)
        fresh = [record for record in records if record.letter_id in begun]
        await self.send_begun(fresh)
        return len(fresh)

    async def send_begun(self, records: Sequence[ReplayRecord]) -> None:
        """Send records whose rows are in the ledger already, and note where they are."""
        for start in range(0, len(records), CHUNK_RECORDS):
            await self._ledger.note(await self.produce(records[start : start + CHUNK_RECORDS]))

    async def settle(self, entries: Collection[LedgerEntry]) -> dict[LetterId, LedgerEntry]:
        """Note where unsettled rows' records are; return the rows whose record was never sent, once that is certain."""
        found: dict[LetterId, int] = {}
        missing = {entry.letter_id: entry for entry in entries}
        waited = 0.0
        while missing:
            found |= await self._find(missing)
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

    async def produce(self, records: Sequence[ReplayRecord]) -> dict[LetterId, int]:
        """Write the records in order; return their offsets once every in-sync replica has them.

        Any exception leaves it open what was written, and this producer must not be used again.
        """
        async with asyncio.timeout(SEND_SECONDS):
            sent = [
                await self._producer.send(
                    self._names.raw, record.value, key=record.key, partition=record.partition, headers=record.headers
                )
                for record in records
            ]
            written = await asyncio.gather(*sent)
        places = zip((record.letter_id for record in records), (found.offset for found in written), strict=True)
        # A broker that has a batch already may not say where (-1): the next run finds it by its marker.
        return {letter_id: offset for letter_id, offset in places if offset >= 0}

    async def _find(self, entries: Mapping[LetterId, LedgerEntry]) -> dict[LetterId, int]:
        """Find the first record that was sent for each entry, from where the raw log ended when it was begun."""
        starts: dict[int, int] = {}
        for entry in entries.values():
            starts[entry.raw_partition] = min(entry.raw_end, starts.get(entry.raw_partition, entry.raw_end))
        whole = await whole_topic(self._consumer, self._places(starts))
        ranges = {place: Range(max(starts[place.partition], kept.start), kept.end) for place, kept in whole.items()}
        found: dict[LetterId, int] = {}
        async for records in scan(self._consumer, ranges):
            for record in records:
                letter_id = marked(record.headers, self._names.dead_letter)
                if letter_id is not None and letter_id in entries:
                    found.setdefault(letter_id, record.offset)
        return found

    def _places(self, partitions: Iterable[int]) -> list[TopicPartition]:
        return [TopicPartition(self._names.raw, number) for number in partitions]


@asynccontextmanager
async def replay_sender(settings: KafkaSettings, ledger: ReplayLedger) -> AsyncIterator[ReplaySender]:
    """Lock the ledger and open the raw topic; the clients' errors inside the context are converted.

    Raises:
        UnsafeError: another tool is sending.
    """
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
                await ledger.lock()
                yield ReplaySender(ledger, consumer, producer, TopicNames(settings.kafka_topic_prefix))
            finally:
                await close_producer(producer)
