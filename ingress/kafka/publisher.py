"""Publishes to Kafka, acknowledged by all in-sync replicas, and replaces a client that breaks.

It is not idempotent on purpose: duplicates from retries are removed downstream like any other duplicate, while an
idempotent producer of aiokafka's refuses everything for a partition after one failed batch.
"""

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from contextlib import suppress
from time import perf_counter
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    UnknownError,
    UnknownTopicOrPartitionError,
)

from ingress.kafka.accumulator import RecordAccumulator
from ingress.metrics import IngressMetrics
from ingress.ports import OutgoingRecord
from runtime.broker_errors import broker_words
from runtime.connection_diagnosis import diagnose
from runtime.errors import PublishError, RecordRefusedError
from runtime.failures import problem_of, report
from runtime.logs import logger
from runtime.topics import TopicWatch
from schemas.placement import spread

PROBE_INTERVAL_SECONDS = 2.0
PROBE_TIMEOUT_SECONDS = 1.5
# 10 s of silence: brokers that came back under other addresses are found only by a new client.
PROBES_BEFORE_REPLACEMENT = 5
FIRST_BACKOFF_SECONDS = 0.1
MAX_BACKOFF_SECONDS = 5.0
# Part of the publish deadline that the client gets, so that its error, which names the cause, comes first.
CLIENT_SHARE = 0.75
STOP_SECONDS = 5.0  # to close connections
# At the end, for records that nobody waits for any more.
FLUSH_SECONDS = 2.0
REFUSAL_LOG_SECONDS = 60.0

# Errors of the record or its topic, not of the client: replacing it would not help.
_RECORD_ERRORS = (
    InvalidTopicError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

#: The problem until the first attempt to reach the brokers has ended.
CONNECTING = "connecting to Kafka"
_REPLACED = "the client is being replaced"

log = logger(__name__)


class KafkaPublisher:
    """Publishes records through a working client, which `run` keeps beside it.

    `problem` says why webhooks cannot be stored now, in words for an operator, or is None; it follows a probe that
    asks the brokers for the topics every 2 s. Topics that would lose records get none: publishing fails.
    """

    def __init__(
        self,
        client_options: Mapping[str, Any],
        *,
        topics: Sequence[str],
        timeout_seconds: float,
        metrics: IngressMetrics,
    ) -> None:
        self.problem: str | None = CONNECTING
        self._options = {
            **client_options,
            "request_timeout_ms": int(timeout_seconds * CLIENT_SHARE * 1000),
        }
        self._topics = list(topics)
        self._watched = TopicWatch(self._options, self._topics, metrics.topic_partitions)
        self._spread: int | None = None  # once known it stays: a key must not move while this process lives
        self._timeout = timeout_seconds
        self._metrics = metrics
        self._accumulator: RecordAccumulator | None = None
        self._replace = asyncio.Event()
        self._connected = asyncio.Event()
        self._tried = asyncio.Event()
        self._refusals: dict[tuple[str, type[KafkaError]], float] = {}

    @property
    def connected(self) -> bool:
        """Whether there is a client that is not known to be broken, and topics that keep what they are given."""
        return self._accumulator is not None and self._watched.problem is None

    @property
    def note(self) -> str | None:
        """Tells in words how the topics differ without keeping a webhook out; None if they do not."""
        return self._watched.note

    async def reconnected(self) -> None:
        """Return once `connected` is true."""
        await self._connected.wait()

    async def tried(self) -> None:
        """Return once Kafka answered, or could not be reached."""
        await self._tried.wait()

    def publish(self, record: OutgoingRecord) -> asyncio.Future[None]:
        """See `Publisher.publish`. Fails at once while there is no client."""
        if self._accumulator is not None and self._watched.problem is None:
            return self._accumulator.add(record)
        self._metrics.publish_failures.inc()
        failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        failed.set_exception(PublishError(self.problem or _REPLACED))
        return failed

    async def run(self) -> None:
        """Keep a working client until cancelled; then flush, for some seconds. Brokers that are away are no error."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                client = await self._connect()
                self._replace.clear()
                await self._look(client)  # at the topics, before the first record
                self._accumulator = accumulator = self._accumulator_on(client)
                sending = tasks.create_task(self._send(accumulator))
                self._tell_connected()
                try:
                    await self._watch(client)
                except asyncio.CancelledError:
                    await accumulator.flush(FLUSH_SECONDS)
                    sending.cancel()
                    await _close(client)
                    raise
                finally:
                    self._lose(_REPLACED)
                self._metrics.producer_replaced.inc()
                tasks.create_task(_retire(client, sending))
                await asyncio.sleep(FIRST_BACKOFF_SECONDS)  # a failure that returns at once must not spin

    async def _send(self, accumulator: RecordAccumulator) -> None:
        """Send until cancelled or abandoned; an accumulator that fails is replaced with its client."""
        try:
            await accumulator.run()
        except Exception as error:  # noqa: BLE001 - the process goes on, with another one
            report("publish.failed", error)
            self._judge(accumulator, "", UnknownError(problem_of(error)))

    def _accumulator_on(self, client: AIOKafkaClient) -> RecordAccumulator:
        def judge(topic: str, error: Exception) -> PublishError:
            return self._judge(accumulator, topic, error)

        accumulator = RecordAccumulator(
            client,
            timeout_seconds=self._timeout,
            retry_seconds=self._timeout * CLIENT_SHARE,
            judge=judge,
            spread=self._spread_over,
            metrics=self._metrics,
        )
        return accumulator

    def _judge(self, accumulator: RecordAccumulator, topic: str, error: Exception) -> PublishError:
        """Find what a failure says about the client behind `accumulator`."""
        if isinstance(error, _RECORD_ERRORS):
            self._report_refusal(topic, error)
            return RecordRefusedError(f"refused for {topic}: {broker_words(error)}")
        cause = broker_words(error)
        if accumulator is self._accumulator:  # many records may find out at once that it is broken
            self._lose(cause)
            self._replace.set()
            self._report(f"Kafka does not take records: {cause}")
        return PublishError(cause)

    def _lose(self, cause: str) -> None:
        accumulator, self._accumulator = self._accumulator, None
        self._connected.clear()
        if accumulator is not None:
            accumulator.abandon(PublishError(cause))

    def _report_refusal(self, topic: str, error: KafkaError) -> None:
        """Log a kind of refusal once a minute: every record for a topic may meet the same one."""
        kind = (topic, type(error))
        now = perf_counter()
        if now - self._refusals.get(kind, -REFUSAL_LOG_SECONDS) >= REFUSAL_LOG_SECONDS:
            self._refusals[kind] = now
            log.warning("publish.refused", topic=topic, reason=broker_words(error))

    async def _connect(self) -> AIOKafkaClient:
        """Return a client that reached a broker, however long that takes."""
        for attempt in itertools.count():
            try:
                client = await _started(self._options, self._timeout)
            except Exception as error:  # noqa: BLE001 - whatever a broker answers, it may answer otherwise later
                expected = isinstance(error, KafkaError | OSError)  # TimeoutError is an OSError
                why = await diagnose(self._options) or (broker_words(error) if expected else problem_of(error))
                self._report(f"Kafka cannot be reached: {why}")
                await asyncio.sleep(min(MAX_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2 ** min(attempt, 16)))
            else:
                client.set_topics(self._topics)
                return client
        raise AssertionError("counting has no end")

    async def _watch(self, client: AIOKafkaClient) -> None:
        """Probe until the client is to be replaced."""
        silent = 0
        while silent < PROBES_BEFORE_REPLACEMENT and not self._replace.is_set():
            silent = 0 if await self._look(client) else silent + 1
            self._tell_connected()
            with suppress(TimeoutError):
                async with asyncio.timeout(PROBE_INTERVAL_SECONDS):
                    await self._replace.wait()

    async def _look(self, client: AIOKafkaClient) -> bool:
        """Whether the brokers answer; what they say of our topics is reported."""
        if not await _reachable(client):
            why = await diagnose(self._options)
            self._report(f"Kafka does not answer: {why}" if why else "Kafka does not answer")
            return False
        await self._watched.look({topic: _partitions(client, topic) for topic in self._topics})
        if not self._replace.is_set():  # else an accumulator failed meanwhile: not available before it is replaced
            self._report(self._missing_topic(client) or self._watched.problem)
        return True

    def _tell_connected(self) -> None:
        if self.connected:
            self._connected.set()
        else:
            self._connected.clear()

    def _spread_over(self, client: AIOKafkaClient) -> int | None:
        """See `ingress.kafka.accumulator.Spread`."""
        if self._spread is None and all(counts := [_partitions(client, topic) for topic in self._topics]):
            self._spread = spread(counts)
        return self._spread

    def _missing_topic(self, client: AIOKafkaClient) -> str | None:
        for topic in self._topics:
            if not _partitions(client, topic):
                return f"topic {topic} does not exist or may not be seen"
        return None

    def _report(self, problem: str | None) -> None:
        """Remember the state for readiness, and log its changes only."""
        self._tried.set()
        if problem == self.problem:
            return
        self.problem = problem
        if problem is None:
            log.info("kafka.available")
        else:
            log.warning("kafka.unavailable", reason=problem)


async def _started(options: Mapping[str, Any], seconds: float) -> AIOKafkaClient:
    client = AIOKafkaClient(**options)
    try:
        async with asyncio.timeout(seconds):
            await client.bootstrap()
    except BaseException:
        await _close(client)
        raise
    return client


def _partitions(client: AIOKafkaClient, topic: str) -> int:
    """Count the partitions of a topic; 0 when it is not seen."""
    return len(client.cluster.partitions_for_topic(topic) or ())


async def _reachable(client: AIOKafkaClient) -> bool:
    """Whether a broker answers a metadata request; the answer refreshes the client's view of the topics."""
    with suppress(Exception):  # an answer that cannot be read is none
        async with asyncio.timeout(PROBE_TIMEOUT_SECONDS):
            return bool(await client.force_metadata_update())
    return False


async def _retire(client: AIOKafkaClient, sending: asyncio.Task[None]) -> None:
    """Close a replaced client when what is under way has ended: within the timeout of a request."""
    await asyncio.wait([sending])
    await _close(client)


async def _close(client: AIOKafkaClient) -> None:
    with suppress(Exception):  # it is given up, however it goes
        async with asyncio.timeout(STOP_SECONDS):
            await client.close()
