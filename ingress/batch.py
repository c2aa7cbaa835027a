"""Records of one partition that travel together, and the queue of such batches."""

import asyncio
from collections import deque
from time import perf_counter

from aiokafka import TopicPartition
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from ingress.publisher import Record

# Small enough to bound what one request carries; a single larger record still gets a batch of its own.
BATCH_BYTES = 256 * 1024
_MAGIC = 2  # the format of record batches since Kafka 0.11
_NO_PRODUCER = -1  # neither idempotent nor transactional


class Batch:
    """Records that are stored together or not at all. `began` is the time of the event loop."""

    __slots__ = ("_builder", "_encoded", "began", "sent", "waiting")

    def __init__(self, began: float) -> None:
        self.began = began
        self.sent = False
        #: The future of each record, and the time at which it came.
        self.waiting: list[tuple[asyncio.Future[None], float]] = []
        self._encoded: bytes | None = None
        self._builder = DefaultRecordBatchBuilder(
            _MAGIC,
            compression_type=0,
            is_transactional=0,
            producer_id=_NO_PRODUCER,
            producer_epoch=_NO_PRODUCER,
            base_sequence=_NO_PRODUCER,
            batch_size=BATCH_BYTES,
        )

    def take(self, record: Record, future: asyncio.Future[None]) -> bool:
        """Whether the record is in; not when the batch is full, or was encoded."""
        waiting = self.waiting
        if self._encoded is not None or (
            self._builder.append(len(waiting), None, record.key, record.value, record.headers) is None
        ):
            return False
        waiting.append((future, perf_counter()))
        return True

    def encode(self) -> bytes:
        """What the broker gets; nothing more is taken then."""
        if self._encoded is None:
            self._encoded = bytes(self._builder.build())
        return self._encoded


class Lane:
    """One partition: its first batch is under way or about to be, the others follow in order."""

    __slots__ = ("batches", "place")

    def __init__(self, place: TopicPartition) -> None:
        self.place = place
        self.batches: deque[Batch] = deque()
