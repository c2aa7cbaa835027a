"""The raw topic as replays see it: where it ends, which of its records are replays, and how to add some."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from ops.dead_letters.model import LetterId, marked
from ops.dead_letters.plan import Outgoing
from ops.kit.kafka import CLIENT_ID, kafka_errors, reader
from ops.kit.scan import Range, scan, whole_topic
from runtime.kafka import client_options, close_producer
from runtime.settings import KafkaSettings
from schemas.topics import MAX_MESSAGE_BYTES

SEND_SECONDS = 30.0
BATCH_BYTES = 256 * 1024


class RawTopic:
    """Made by `raw_topic`. Errors are converted there."""

    def __init__(self, consumer: AIOKafkaConsumer, producer: AIOKafkaProducer, name: str) -> None:
        self._consumer = consumer
        self._producer = producer
        self._name = name

    async def ends(self, partitions: Collection[int]) -> dict[int, int]:
        """Where these partitions end now."""
        wanted = [TopicPartition(self._name, number) for number in partitions]
        return {found.partition: end for found, end in (await self._consumer.end_offsets(wanted)).items()}

    async def find(
        self, letter_ids: Collection[LetterId], starts: Mapping[int, int], dead_letter_topic: str
    ) -> dict[LetterId, int]:
        """The first record from `starts` (offset by partition) on that was sent for each of `letter_ids`, if any."""
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

    async def produce(self, records: Sequence[Outgoing]) -> dict[LetterId, int]:
        """Write the records in order; returns their offsets once every in-sync replica has them.

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
    """The raw topic, for reading and writing; the client's errors inside the context are converted."""
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
