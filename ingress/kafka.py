"""The publisher on Kafka: acknowledged by all in-sync replicas, and healing by itself.

The producer is not idempotent on purpose. With aiokafka 0.14 an idempotent producer never gives a batch up (its sends
hang while the brokers are away) and refuses everything for a partition after one failed batch. Duplicates from its
retries are removed downstream like any other duplicate.
"""

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from contextlib import suppress
from time import perf_counter
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from ingress.batches import Batches
from ingress.publisher import Record
from runtime.errors import PublishError, RecordRefusedError
from runtime.kafka import close_producer
from runtime.logs import logger
from runtime.metrics import IngressMetrics
from runtime.refusal import refusal
from schemas.topics import MAX_MESSAGE_BYTES

PROBE_INTERVAL_SECONDS = 2.0
PROBE_TIMEOUT_SECONDS = 1.5
# 10 s of silence: brokers that came back under other addresses are found only by a new producer.
PROBES_BEFORE_REPLACEMENT = 5
FIRST_BACKOFF_SECONDS = 0.1
MAX_BACKOFF_SECONDS = 5.0
# Part of the publish deadline that the client gets, so that its error, which names the cause, comes first.
CLIENT_SHARE = 0.75
# Small enough to bound what one request carries; a single larger record still gets a batch of its own.
BATCH_BYTES = 256 * 1024
LINGER_MS = 0
# At the end, for records that nobody waits for any more.
FLUSH_SECONDS = 2.0
REFUSAL_LOG_SECONDS = 60.0

# What says something about the record or its topic and nothing about the producer: replacing it would not help.
_RECORD_ERRORS = (
    InvalidTopicError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

log = logger(__name__)


class KafkaPublisher:
    """Publishes while `run` runs beside it.

    `problem` says why webhooks cannot be stored now, in words for an operator, or is None; it follows a probe that
    asks the brokers for the topics every 2 s.
    """

    def __init__(
        self,
        client_options: Mapping[str, Any],
        *,
        topics: Sequence[str],
        timeout_seconds: float,
        metrics: IngressMetrics,
    ) -> None:
        self.problem: str | None = "connecting to Kafka"
        self._options = {
            **client_options,
            "acks": "all",
            "enable_idempotence": False,
            "request_timeout_ms": int(timeout_seconds * CLIENT_SHARE * 1000),
            "max_request_size": MAX_MESSAGE_BYTES,
            "max_batch_size": BATCH_BYTES,
            "linger_ms": LINGER_MS,
        }
        self._topics = list(topics)
        self._timeout = timeout_seconds
        self._metrics = metrics
        self._batches: Batches | None = None
        self._replace = asyncio.Event()
        self._connected = asyncio.Event()
        self._refusals: dict[tuple[str, type[KafkaError]], float] = {}

    @property
    def connected(self) -> bool:
        """Whether there is a producer that is not known to be broken."""
        return self._batches is not None

    async def reconnected(self) -> None:
        """Return once there is one."""
        await self._connected.wait()

    def publish(self, record: Record) -> asyncio.Future[None]:
        """See `Publisher.publish`. Fails at once while there is no producer."""
        if self._batches is not None:
            return self._batches.add(record)
        self._metrics.publish_failures.inc()
        failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        failed.set_exception(PublishError(self.problem or "the producer is being replaced"))
        return failed

    async def run(self) -> None:
        """Keep a working producer until cancelled; then flush, for some seconds. Brokers that are away are no error."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                producer = await self._connect()
                batches = self._batches_of(producer)
                sending = tasks.create_task(batches.send())
                self._replace.clear()
                self._batches = batches
                self._connected.set()
                try:
                    await self._watch(producer)
                except asyncio.CancelledError:
                    await batches.flush(FLUSH_SECONDS)
                    await close_producer(producer)
                    raise
                finally:
                    self._lose("the producer is being replaced")
                sending.cancel()
                self._metrics.producer_replaced.inc()
                tasks.create_task(_retire(producer))
                await asyncio.sleep(FIRST_BACKOFF_SECONDS)  # a failure that returns at once must not spin

    def _batches_of(self, producer: AIOKafkaProducer) -> Batches:
        def judge(topic: str, error: Exception) -> PublishError:
            return self._judge(batches, topic, error)

        batches = Batches(producer, timeout_seconds=self._timeout, judge=judge, metrics=self._metrics)
        return batches

    def _judge(self, batches: Batches, topic: str, error: Exception) -> PublishError:
        """What a failure says about the producer behind `batches`."""
        if isinstance(error, _RECORD_ERRORS):
            self._report_refusal(topic, error)
            return RecordRefusedError(f"refused for {topic}: {error}")
        cause = str(error) or type(error).__name__
        if batches is self._batches:  # many records may find out at once that it is broken
            self._lose(cause)
            self._replace.set()
            self._report(f"Kafka does not take records: {cause}")
        return PublishError(cause)

    def _lose(self, cause: str) -> None:
        batches, self._batches = self._batches, None
        self._connected.clear()
        if batches is not None:
            batches.abandon(PublishError(cause))

    def _report_refusal(self, topic: str, error: KafkaError) -> None:
        """Log a kind of refusal once a minute: every record for a topic may meet the same one."""
        kind = (topic, type(error))
        now = perf_counter()
        if now - self._refusals.get(kind, -REFUSAL_LOG_SECONDS) >= REFUSAL_LOG_SECONDS:
            self._refusals[kind] = now
            log.warning("publish.refused", topic=topic, reason=str(error))

    async def _connect(self) -> AIOKafkaProducer:
        """A producer that reached a broker, however long that takes."""
        for attempt in itertools.count():
            try:
                producer = await _started(self._options, self._timeout)
            except (KafkaError, OSError) as error:  # TimeoutError is an OSError
                why = await refusal(self._options) or str(error) or type(error).__name__
                self._report(f"Kafka cannot be reached: {why}")
                await asyncio.sleep(min(MAX_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2 ** min(attempt, 16)))
            else:
                producer.client.set_topics(self._topics)
                return producer
        raise AssertionError("counting has no end")

    async def _watch(self, producer: AIOKafkaProducer) -> None:
        """Probe until the producer is to be replaced."""
        silent = 0
        while silent < PROBES_BEFORE_REPLACEMENT and not self._replace.is_set():
            if await _reachable(producer):
                silent = 0
                self._report(self._missing_topic(producer))
            else:
                silent += 1
                self._report("Kafka does not answer")
            with suppress(TimeoutError):
                async with asyncio.timeout(PROBE_INTERVAL_SECONDS):
                    await self._replace.wait()

    def _missing_topic(self, producer: AIOKafkaProducer) -> str | None:
        for topic in self._topics:
            if not producer.client.cluster.partitions_for_topic(topic):
                return f"topic {topic} does not exist or may not be seen"
        return None

    def _report(self, problem: str | None) -> None:
        """Remember the state for readiness, and log its changes only."""
        if problem == self.problem:
            return
        self.problem = problem
        if problem is None:
            log.info("kafka.available")
        else:
            log.warning("kafka.unavailable", reason=problem)


async def _started(options: Mapping[str, Any], seconds: float) -> AIOKafkaProducer:
    producer = AIOKafkaProducer(**options)
    try:
        async with asyncio.timeout(seconds):
            await producer.start()
    except BaseException:
        await close_producer(producer)
        raise
    return producer


async def _reachable(producer: AIOKafkaProducer) -> bool:
    """Whether a broker answers a metadata request; the answer refreshes the producer's view of the topics."""
    with suppress(TimeoutError):
        async with asyncio.timeout(PROBE_TIMEOUT_SECONDS):
            return bool(await producer.client.force_metadata_update())
    return False


async def _retire(producer: AIOKafkaProducer) -> None:
    """Stop a replaced producer without a deadline.

    `stop` waits for what is pending, and its batches expire, so it ends within a few request timeouts; cutting it off
    would leave its sender task behind for ever.
    """
    with suppress(KafkaError, OSError):
        await producer.stop()
