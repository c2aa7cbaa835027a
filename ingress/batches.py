"""Records on their way to Kafka through one producer: a batch at a time for each partition.

While a batch is under way the next one fills, so batches grow with the load. A record that finds its partition idle
waits for `TICK_SECONDS`, so that those which arrive with it come along. To call the client for each record would cost
several times as much.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import Any, TypeAlias

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from ingress.partition import partition_of
from ingress.publisher import Record
from runtime.errors import PublishError
from runtime.metrics import IngressMetrics
from schemas.topics import MAX_MESSAGE_BYTES

TICK_SECONDS = 0.001

#: Turns what the client says about a topic into what the publisher's caller gets; called once for each failure.
Judge: TypeAlias = Callable[[str, Exception], PublishError]

#: The future of a record, and the time at which it came.
Waiting: TypeAlias = tuple["asyncio.Future[None]", float]

_size_of = DefaultRecordBatchBuilder.estimate_size_in_bytes


class _Batch:
    """Records that are stored together or not at all."""

    __slots__ = ("_builder", "deadline", "sent", "waiting")

    def __init__(self, builder: Any) -> None:
        self._builder = builder
        self.deadline: asyncio.TimerHandle | None = None
        self.sent = False
        self.waiting: list[Waiting] = []

    def take(self, record: Record, future: asyncio.Future[None]) -> bool:
        """Whether the record is in; not when the batch is full, or already on the wire."""
        if self._builder.append(timestamp=None, key=record.key, value=record.value, headers=record.headers) is None:
            return False
        self.waiting.append((future, perf_counter()))
        return True

    def end(self) -> None:
        """Stop the clock."""
        if self.deadline is not None:
            self.deadline.cancel()
            self.deadline = None

    async def send(self, producer: AIOKafkaProducer, lane: "_Lane") -> "asyncio.Future[Any]":
        """Hand it to the client; until that writes it to the broker, more records may join."""
        self.sent = True
        acknowledged: asyncio.Future[Any] = await producer.send_batch(
            self._builder, lane.topic, partition=lane.partition
        )
        return acknowledged


class _Lane:
    """One partition: its first batch is under way or about to be, the others follow in order."""

    __slots__ = ("batches", "partition", "topic")

    def __init__(self, topic: str, partition: int) -> None:
        self.topic = topic
        self.partition = partition
        self.batches: deque[_Batch] = deque()


class Batches:
    """Batches for one producer; they leave while `send` runs."""

    def __init__(
        self, producer: AIOKafkaProducer, *, timeout_seconds: float, judge: Judge, metrics: IngressMetrics
    ) -> None:
        self._producer = producer
        self._timeout = timeout_seconds
        self._judge = judge
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        self._lanes: dict[tuple[str, int], _Lane] = {}
        self._partitions: dict[str, list[int]] = {}  # by topic, for a round: to ask for each record takes longer
        self._due: list[_Lane] = []
        self._wake = asyncio.Event()
        self._ticking = False
        self._looking: set[asyncio.Task[None]] = set()

    def add(self, record: Record) -> asyncio.Future[None]:
        """See `KafkaPublisher.publish`. Records of a partition leave in the order of these calls."""
        future: asyncio.Future[None] = self._loop.create_future()
        partitions = self._partitions.get(record.topic) or self._known_partitions(record.topic)
        if not partitions:
            looking = self._loop.create_task(self._look(record, future))
            self._looking.add(looking)
            looking.add_done_callback(self._looking.discard)
        elif _size_of(record.key, record.value, record.headers) > MAX_MESSAGE_BYTES:
            too_large = MessageSizeTooLargeError(f"the record has more than {MAX_MESSAGE_BYTES} bytes")
            self._fail_records(record.topic, [future], too_large)
        else:
            self._place(record, future, partitions)
        return future

    async def send(self) -> None:
        """Send until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            self._partitions.clear()
            due, self._due = self._due, []
            for lane in due:
                if lane.batches:  # not abandoned meanwhile
                    await self._send(lane, lane.batches[0])

    async def flush(self, seconds: float) -> None:
        """Return when nothing is under way any more, or after so many seconds."""
        pending = [future for batch in self._pending() for future, _ in batch.waiting if not future.done()]
        if pending:
            await asyncio.wait(pending, timeout=seconds)

    def abandon(self, error: Exception) -> None:
        """Fail what the client was not given yet; what it was given may still be acknowledged."""
        for lane in self._lanes.values():
            while lane.batches and not lane.batches[-1].sent:
                self._fail(lane.topic, lane.batches.pop(), error)
        self._due.clear()

    def _pending(self) -> list[_Batch]:
        return [batch for lane in self._lanes.values() for batch in lane.batches]

    async def _send(self, lane: _Lane, batch: _Batch) -> None:
        try:
            acknowledged = await batch.send(self._producer, lane)
        except KafkaError as error:
            self._settle(lane, batch, error)
        else:
            acknowledged.add_done_callback(lambda done: self._settle(lane, batch, done.exception()))

    def _known_partitions(self, topic: str) -> list[int]:
        partitions = sorted(self._producer.client.cluster.partitions_for_topic(topic) or ())
        if partitions:
            self._partitions[topic] = partitions
        return partitions

    async def _look(self, record: Record, future: asyncio.Future[None]) -> None:
        """Place a record whose topic is not known once the brokers tell its partitions."""
        try:
            async with asyncio.timeout(self._timeout):
                partitions = await self._producer.partitions_for(record.topic)
        except (KafkaError, TimeoutError) as error:
            self._fail_records(record.topic, [future], error)
        else:
            self._place(record, future, sorted(partitions))

    def _place(self, record: Record, future: asyncio.Future[None], partitions: list[int]) -> None:
        # Without a key nothing is ordered.
        partition = random.choice(partitions) if record.key is None else partition_of(record.key, partitions)  # noqa: S311
        place = record.topic, partition
        lane = self._lanes.get(place)
        if lane is None:
            lane = self._lanes[place] = _Lane(*place)
        if not (lane.batches and lane.batches[-1].take(record, future)):
            self._begin(lane).take(record, future)

    def _begin(self, lane: _Lane) -> _Batch:
        batch = _Batch(self._producer.create_batch())
        batch.deadline = self._loop.call_later(self._timeout, self._late, lane.topic, batch)
        lane.batches.append(batch)
        if len(lane.batches) == 1:
            self._due.append(lane)
            if not self._ticking:
                self._ticking = True
                self._loop.call_later(TICK_SECONDS, self._tick)
        return batch

    def _tick(self) -> None:
        self._ticking = False
        self._wake.set()

    def _settle(self, lane: _Lane, batch: _Batch, error: BaseException | None) -> None:
        lane.batches.popleft()
        if isinstance(error, Exception):
            self._fail(lane.topic, batch, error)
        else:
            self._succeed(batch)
        if lane.batches:
            self._due.append(lane)
            self._wake.set()

    def _succeed(self, batch: _Batch) -> None:
        batch.end()
        observe, now = self._metrics.publish.observe, perf_counter()
        for future, began in batch.waiting:
            observe(now - began)
            if not future.done():  # who waited for it may have gone
                future.set_result(None)

    def _late(self, topic: str, batch: _Batch) -> None:
        """Nobody waits any longer; the client may still deliver it."""
        self._fail(topic, batch, TimeoutError(f"no acknowledgement in {self._timeout:g} s"))

    def _fail(self, topic: str, batch: _Batch, error: Exception) -> None:
        batch.end()
        waiting, batch.waiting = batch.waiting, []
        if waiting:
            self._fail_records(topic, [future for future, _ in waiting], error)

    def _fail_records(self, topic: str, futures: list[asyncio.Future[None]], error: Exception) -> None:
        judged = self._judge(topic, error)
        self._metrics.publish_failures.inc(len(futures))
        for future in futures:
            if not future.done():
                failure = type(judged)(*judged.args)  # an error that is raised in many places grows with each
                failure.__cause__ = error
                future.set_exception(failure)
