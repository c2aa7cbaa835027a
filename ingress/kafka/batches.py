"""Batches the records of one partition, and queues its batches."""

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator
from time import perf_counter

from aiokafka import TopicPartition
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from ingress.ports import OutgoingRecord

# Small enough to bound what one request carries; a single larger record still gets a batch of its own.
BATCH_BYTES = 256 * 1024
_MAGIC = 2  # the format of record batches since Kafka 0.11
_NO_PRODUCER = -1  # neither idempotent nor transactional


class ProducerBatch:
    """Holds records that are stored together or not at all. `began` is the time of the event loop."""

    __slots__ = ("_builder", "_encoded", "began", "sent", "waiting")

    def __init__(self, began: float) -> None:
        self.began = began
        self.sent = False
        #: The future of each record, and the time at which it came.
        self.waiting: list[tuple[asyncio.Future[None], float]] = []
        self._encoded: bytes | bytearray | None = None
        self._builder = DefaultRecordBatchBuilder(
            _MAGIC,
            compression_type=0,
            is_transactional=0,
            producer_id=_NO_PRODUCER,
            producer_epoch=_NO_PRODUCER,
            base_sequence=_NO_PRODUCER,
            batch_size=BATCH_BYTES,
        )

    def take(self, record: OutgoingRecord, future: asyncio.Future[None]) -> bool:
        """Whether the record is in; not when the batch is full, or was encoded."""
        waiting = self.waiting
        if self._encoded is not None or (
            self._builder.append(len(waiting), None, record.key, record.value, record.headers) is None
        ):
            return False
        waiting.append((future, perf_counter()))
        return True

    def encode(self) -> bytes | bytearray:
        """Encode for the broker; nothing more is taken then."""
        if self._encoded is None:
            self._encoded = self._builder.build()
            del self._builder  # so that large records are there once
        return self._encoded


class PartitionQueue:
    """Queues one partition's batches: the first is under way or about to be, the others follow in order."""

    __slots__ = ("batches", "partition")

    def __init__(self, partition: TopicPartition) -> None:
        self.partition = partition
        self.batches: deque[ProducerBatch] = deque()

    def put(self, record: OutgoingRecord, future: asyncio.Future[None], now: float) -> bool:
        """Put a record into the open batch, or begin one; whether it is the first one here."""
        batches = self.batches
        if batches and batches[-1].take(record, future):
            return False
        batch = ProducerBatch(now)
        batch.take(record, future)
        batches.append(batch)
        return len(batches) == 1


class PartitionQueues:
    """Holds the queue of each partition that ever had a record to come."""

    def __init__(self) -> None:
        self._queues: dict[TopicPartition, PartitionQueue] = {}

    def of(self, topic: str, partitions: Iterable[int]) -> list[PartitionQueue]:
        """The queues of a topic, in the order of its partitions."""
        found = [TopicPartition(topic, partition) for partition in sorted(partitions)]
        return [self._queues.get(one) or self._queues.setdefault(one, PartitionQueue(one)) for one in found]

    def batches(self) -> Iterator[tuple[PartitionQueue, ProducerBatch]]:
        """Go through all batches that are not done with."""
        for queue in self._queues.values():
            for batch in tuple(queue.batches):
                yield queue, batch

    def take_unsent(self) -> list[tuple[PartitionQueue, ProducerBatch]]:
        """Remove what is not under way, and return it."""
        unsent = [(queue, batch) for queue, batch in self.batches() if not batch.sent]
        for queue, batch in unsent:
            queue.batches.remove(batch)
        return unsent
