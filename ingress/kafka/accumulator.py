"""Collects records in batches by partition and sends these to Kafka, one request at a time to each broker.

While a request is under way the batches of the next one fill, so they grow with the load; each request waits for a
tick, so that records which arrive together travel together. aiokafka's own producer makes a coroutine and several
futures for each record, and a few more for each batch; its client is what we stand on.

A batch that fails for a passing reason is sent again, before all others of its partition. The brokers may then have it
twice: deduplication removes the copies.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import TypeAlias

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    KafkaError,
    MessageSizeTooLargeError,
    TopicAuthorizationFailedError,
    UnknownError,
    UnknownTopicOrPartitionError,
)
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from ingress.kafka.batches import PartitionQueue, PartitionQueues, ProducerBatch
from ingress.kafka.wire import Produce, errors_of
from ingress.metrics import IngressMetrics
from ingress.ports import OutgoingRecord
from runtime.errors import PublishError
from runtime.failures import problem_of, report
from schemas.placement import partition_of
from schemas.topics import MAX_BODY_BYTES, MAX_MESSAGE_BYTES

TICK_SECONDS = 0.001
RETRY_SECONDS = 0.1
CLOCK_SECONDS = 0.1  # between two looks for records that have waited too long
ALL_IN_SYNC = -1  # acks: every in-sync replica has it

#: Over how many partitions of a topic keys are spread, as long as the process lives; None while that is not known.
Spread: TypeAlias = Callable[[AIOKafkaClient], int | None]
#: Turns what the client says about a topic into what the publisher's caller gets; called once for each failure.
Judge: TypeAlias = Callable[[str, Exception], PublishError]

_UNANSWERED = UnknownError("the broker's answer lacks the partition")
# Called for what is large only: what else is in a record is bounded, and fits beside the largest body.
_size_of = DefaultRecordBatchBuilder.estimate_size_in_bytes


class RecordAccumulator:
    """Collects records, and sends them through one client while `run` runs."""

    def __init__(
        self,
        client: AIOKafkaClient,
        *,
        timeout_seconds: float,
        retry_seconds: float,
        judge: Judge,
        spread: Spread,
        metrics: IngressMetrics,
    ) -> None:
        """A batch is tried for `retry_seconds`; nobody waits for a record longer than `timeout_seconds`."""
        self._client = client
        self._timeout = timeout_seconds
        self._retry = retry_seconds
        self._judge = judge
        self._spread = spread
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        self._queues = PartitionQueues()
        # By topic, until the next tick: to ask for each record takes longer.
        self._queues_of: dict[str, list[PartitionQueue]] = {}
        self._due: list[PartitionQueue] = []
        self._busy: set[int] = set()  # brokers with a request under way
        self._wake = asyncio.Event()
        self._ticking = False
        self._clock: asyncio.TimerHandle | None = None
        self._looking: set[asyncio.Task[None]] = set()
        self._abandoned = False

    def add(self, record: OutgoingRecord) -> asyncio.Future[None]:
        """See `KafkaPublisher.publish`. Records of a partition leave in the order of these calls."""
        future: asyncio.Future[None] = self._loop.create_future()
        queues = self._queues_of.get(record.topic) or self._known_queues(record)
        if not queues:
            looking = self._loop.create_task(self._look(record, future))
            self._looking.add(looking)
            looking.add_done_callback(self._looking.discard)
        elif len(record.value) > MAX_BODY_BYTES and _size_of(*record[1:]) > MAX_MESSAGE_BYTES:
            error = MessageSizeTooLargeError(f"the record has more than {MAX_MESSAGE_BYTES} bytes")
            self._fail_records(record.topic, [future], error)
        else:
            self._put(record, future, queues)
        return future

    async def run(self) -> None:
        """Send until cancelled, or abandoned and done with what is under way."""
        async with asyncio.TaskGroup() as rounds:
            while not self._abandoned:
                await self._wake.wait()
                self._wake.clear()
                self._queues_of.clear()
                for broker, queues in self._due_by_broker().items():
                    self._busy.add(broker)
                    rounds.create_task(self._round(broker, queues))

    async def flush(self, seconds: float) -> None:
        """Return when nothing is under way any more, or after so many seconds."""
        pending = [future for _, batch in self._queues.batches() for future, _ in batch.waiting if not future.done()]
        if pending:
            await asyncio.wait(pending, timeout=seconds)

    def abandon(self, error: Exception) -> None:
        """Fail what no broker was given; what is under way may still be acknowledged."""
        self._abandoned = True
        self._due.clear()
        for queue, batch in self._queues.take_unsent():
            self._fail(queue, batch, error)
        self._wake.set()

    def _known_queues(self, record: OutgoingRecord) -> list[PartitionQueue]:
        """Where the record may go; empty while that is not known. One topic's records have keys, the other's none."""
        topic = record.topic
        queues = self._queues.of(topic, self._client.cluster.partitions_for_topic(topic) or ())
        if record.key is not None:
            queues = queues[: self._spread(self._client) or 0]
        if queues:
            self._queues_of[topic] = queues
        return queues

    async def _look(self, record: OutgoingRecord, future: asyncio.Future[None]) -> None:
        """Send a record whose topic is not known, once the brokers tell its partitions."""
        topic = record.topic
        error: Exception = UnknownTopicOrPartitionError()
        end = self._loop.time() + self._retry
        while (left := end - self._loop.time()) > 0 and not self._abandoned:
            if queues := self._known_queues(record):
                self._put(record, future, queues)
                return
            if topic in self._client.cluster.unauthorized_topics:
                error = TopicAuthorizationFailedError(topic)
                break
            self._client.add_topic(topic)
            await asyncio.wait([self._client.force_metadata_update()], timeout=left)
            await asyncio.sleep(RETRY_SECONDS)
        self._fail_records(topic, [future], error)

    def _put(self, record: OutgoingRecord, future: asyncio.Future[None], queues: list[PartitionQueue]) -> None:
        # Without a key nothing is ordered.
        queue = random.choice(queues) if record.key is None else partition_of(record.key, queues)  # noqa: S311
        if queue.put(record, future, self._loop.time()):
            self._due.append(queue)
            self._soon()
            if self._clock is None:
                self._clock = self._loop.call_later(CLOCK_SECONDS, self._expire)

    def _soon(self) -> None:
        """Send what is due at the next tick."""
        if not self._ticking:
            self._ticking = True
            self._loop.call_later(TICK_SECONDS, self._tick)

    def _tick(self) -> None:
        self._ticking = False
        self._wake.set()

    def _due_by_broker(self) -> dict[int, list[PartitionQueue]]:
        """What can be sent now, by the broker that leads the partition."""
        ready: dict[int, list[PartitionQueue]] = defaultdict(list)
        due, self._due = self._due, []
        leaderless: list[PartitionQueue] = []
        for queue in due:
            broker = self._client.cluster.leader_for_partition(queue.partition)
            if broker is None or broker == -1:
                leaderless.append(queue)
            elif broker in self._busy:
                self._due.append(queue)
            else:
                ready[broker].append(queue)
        if leaderless:
            self._again(leaderless)
        return ready

    async def _round(self, broker: int, queues: list[PartitionQueue]) -> None:
        batches = [(queue, queue.batches[0]) for queue in queues if queue.batches]
        for _, batch in batches:
            batch.sent = True
        errors = await self._produce(broker, batches)
        self._busy.discard(broker)
        again: list[PartitionQueue] = []
        for queue, batch in batches:
            error = errors.get(queue.partition, _UNANSWERED)
            if error is None:
                queue.batches.popleft()
                self._succeed(batch)
            elif error.retriable and not self._abandoned and self._loop.time() < batch.began + self._retry:
                batch.sent = False
                again.append(queue)
                continue
            else:
                queue.batches.popleft()
                self._fail(queue, batch, error)
            if queue.batches:
                self._due.append(queue)
        if again:
            self._again(again)
        if self._due:
            self._soon()

    async def _produce(
        self, broker: int, batches: Sequence[tuple[PartitionQueue, ProducerBatch]]
    ) -> dict[tuple[str, int], KafkaError | None]:
        """Send one request; what went wrong, by topic and partition."""
        topics: dict[str, list[tuple[int, bytes | bytearray]]] = defaultdict(list)
        try:
            for queue, batch in batches:
                topics[queue.partition.topic].append((queue.partition.partition, batch.encode()))
            request = Produce(ALL_IN_SYNC, int(self._retry * 1000), list(topics.items()))
            response = await self._client.send(broker, request)
            return errors_of(response)
        except KafkaError as error:
            return {queue.partition: error for queue, _ in batches}
        except Exception as error:  # noqa: BLE001 - it fails this request, and no other
            report("publish.failed", error)
            unexpected = UnknownError(problem_of(error))
            return {queue.partition: unexpected for queue, _ in batches}

    def _again(self, queues: list[PartitionQueue]) -> None:
        """Try again a little later, by when the brokers may tell another leader."""
        self._client.force_metadata_update()
        self._loop.call_later(RETRY_SECONDS, self._now_due, queues)

    def _now_due(self, queues: list[PartitionQueue]) -> None:
        self._due += [queue for queue in queues if queue.batches]
        self._soon()

    def _expire(self) -> None:
        """Let nobody wait too long; what is under way may still arrive."""
        late = self._loop.time() - self._timeout
        waiting = False
        for queue, batch in self._queues.batches():
            waiting = True
            if batch.began <= late:
                self._fail(queue, batch, TimeoutError(f"no acknowledgement in {self._timeout:g} s"))
        self._clock = self._loop.call_later(CLOCK_SECONDS, self._expire) if waiting else None

    def _succeed(self, batch: ProducerBatch) -> None:
        observe, now = self._metrics.publish.observe, perf_counter()
        for future, began in batch.waiting:
            observe(now - began)
            if not future.done():  # who waited for it may have gone
                future.set_result(None)

    def _fail(self, queue: PartitionQueue, batch: ProducerBatch, error: Exception) -> None:
        waiting, batch.waiting = batch.waiting, []
        if waiting:
            self._fail_records(queue.partition.topic, [future for future, _ in waiting], error)

    def _fail_records(self, topic: str, futures: list[asyncio.Future[None]], error: Exception) -> None:
        judged = self._judge(topic, error)
        self._metrics.publish_failures.inc(len(futures))
        for future in futures:
            if not future.done():
                failure = type(judged)(*judged.args)  # an error that is raised in many places grows with each
                failure.__cause__ = error
                future.set_exception(failure)
