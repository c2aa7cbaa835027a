"""Reads dead letters from their topic: committed ones only, in order within a partition, without a group."""

from collections.abc import AsyncIterator, Collection

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from ops.dead_letters.model import Letter, LetterId, read_letter
from ops.kit.errors import NotFoundError
from ops.kit.scan import Range, scan, whole_topic


class DeadLetterTopic:
    """One dead-letter topic, read with a consumer of `ops.kit.kafka.reader` (read committed)."""

    def __init__(self, consumer: AIOKafkaConsumer, name: str, partitions: int) -> None:
        self.name = name
        self.partitions = partitions
        self._consumer = consumer
        self._partitions = [TopicPartition(name, number) for number in range(partitions)]

    async def letters(self, *, partition: int | None = None) -> AsyncIterator[Letter]:
        """Every dead letter that is in the topic now, or in one partition of it."""
        wanted = [found for found in self._partitions if partition in (None, found.partition)]
        async for records in scan(self._consumer, await whole_topic(self._consumer, wanted)):
            for record in records:
                yield _letter(record)

    async def by_id(self, letter_ids: Collection[LetterId]) -> dict[LetterId, Letter]:
        """The letters with these ids, those of them that are there. Reads what lies between them, too."""
        whole = await whole_topic(self._consumer, self._partitions)
        ranges = {}
        for partition in self._partitions:
            offsets = [letter_id.offset for letter_id in letter_ids if letter_id.partition == partition.partition]
            if offsets:
                kept = whole[partition]
                ranges[partition] = Range(max(min(offsets), kept.start), min(max(offsets) + 1, kept.end))
        found = {}
        async for records in scan(self._consumer, ranges):
            for record in records:
                letter_id = LetterId(record.partition, record.offset)
                if letter_id in letter_ids:
                    found[letter_id] = _letter(record)
        return found

    async def one(self, letter_id: LetterId) -> Letter:
        """One dead letter.

        Raises:
            NotFoundError: there is none, or retention has removed it.
        """
        found = await self.by_id({letter_id})
        if letter_id not in found:
            raise NotFoundError(f"no dead letter {letter_id} in {self.name}")
        return found[letter_id]


def _letter(record: ConsumerRecord) -> Letter:
    letter_id = LetterId(record.partition, record.offset)
    return read_letter(letter_id, record.timestamp, record.key, record.value, record.headers)
