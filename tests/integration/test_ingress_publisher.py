"""The publisher on a real Kafka: the contract, brokers that are away or silent, and healing without a restart."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiokafka.client
import pytest
from aiokafka.client import AIOKafkaClient
from prometheus_client import CollectorRegistry

from ingress.kafka.accumulator import RecordAccumulator
from ingress.kafka.publisher import PROBE_INTERVAL_SECONDS, KafkaPublisher
from ingress.metrics import IngressMetrics
from ingress.ports import OutgoingRecord
from runtime.errors import PublishError
from schemas.topics import TopicNames
from tests.support.kafka import read_topic
from tests.support.waiting import until
from tests.unit.ingress.publishers import PublisherContract, Stored, Subject

TIMEOUT_SECONDS = 2.0


@asynccontextmanager
async def running(publisher: KafkaPublisher) -> AsyncIterator[KafkaPublisher]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(publisher.run())
        try:
            yield publisher
        finally:
            task.cancel()


def publisher_on(
    bootstrap_servers: str, topics: TopicNames, registry: CollectorRegistry | None = None
) -> KafkaPublisher:
    return KafkaPublisher(
        {"bootstrap_servers": bootstrap_servers},
        topics=[topics.raw, topics.dead_letter],
        timeout_seconds=TIMEOUT_SECONDS,
        metrics=IngressMetrics(registry or CollectorRegistry()),
    )


async def healthy(publisher: KafkaPublisher) -> None:
    async def ask() -> bool:
        return publisher.problem is None

    await until(ask, what="a healthy publisher")


async def reports(publisher: KafkaPublisher, text: str) -> None:
    async def ask() -> bool:
        return publisher.problem is not None and text in publisher.problem

    await until(ask, what=f"a publisher that reports {text!r}")


class TestKafkaPublisher(PublisherContract):
    @pytest.fixture
    async def subject(self, kafka_bootstrap_servers: str, topics: TopicNames) -> AsyncIterator[Subject]:
        async def read(topic: str) -> list[Stored]:
            records = await read_topic(kafka_bootstrap_servers, topic)
            return [(record.partition, record.key, record.value, list(record.headers)) for record in records]

        async with running(publisher_on(kafka_bootstrap_servers, topics)) as publisher:
            await healthy(publisher)
            yield Subject(publisher, topics, read)


class Link:
    """The network between the client and the broker: `cut` refuses and drops, `freeze` leaves everything unanswered."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, bootstrap_servers: str) -> None:
        host, _, port = bootstrap_servers.partition(",")[0].rpartition(":")
        self.broker = (host, int(port))
        self.frozen = False
        self.is_cut = False
        self._pipes: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        create_conn = aiokafka.client.create_conn

        async def through_link(_host: str, _port: int, **options: Any) -> Any:
            assert self._server is not None
            return await create_conn(*self._server.sockets[0].getsockname()[:2], **options)

        monkeypatch.setattr(aiokafka.client, "create_conn", through_link)

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        self._drop()
        await asyncio.gather(*self._pipes, return_exceptions=True)

    def cut(self) -> None:
        self.is_cut = True
        self._drop()

    def restore(self) -> None:
        self.is_cut = False
        if self.frozen:
            self.frozen = False
            self._drop()

    def _drop(self) -> None:
        for writer in self._writers:
            writer.close()
        for pipe in self._pipes:
            pipe.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_cut:
            writer.close()
            return
        broker_reader, broker_writer = await asyncio.open_connection(*self.broker)
        self._writers |= {writer, broker_writer}
        self._pipes |= {
            asyncio.create_task(self._pipe(reader, broker_writer)),
            asyncio.create_task(self._pipe(broker_reader, writer)),
        }

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                if not self.frozen:
                    writer.write(data)
        except ConnectionError:
            pass
        finally:
            writer.close()


@pytest.fixture
async def link(
    topics: TopicNames,  # noqa: ARG001 - its own connections come before the link and outlive it
    monkeypatch: pytest.MonkeyPatch,
    kafka_bootstrap_servers: str,
) -> AsyncIterator[Link]:
    link = Link(monkeypatch, kafka_bootstrap_servers)
    await link.open()
    yield link
    await link.close()


def record(topics: TopicNames, value: bytes) -> OutgoingRecord:
    return OutgoingRecord(topics.raw, b"call", value, [])


async def values(bootstrap_servers: str, topic: str) -> list[bytes]:
    return [found.value for found in await read_topic(bootstrap_servers, topic)]


async def test_broker_away_at_start_is_reported_and_heals(
    link: Link, kafka_bootstrap_servers: str, topics: TopicNames
) -> None:
    link.cut()
    async with running(publisher_on(kafka_bootstrap_servers, topics)) as publisher:
        await reports(publisher, "cannot be reached")
        with pytest.raises(PublishError, match="cannot be reached"):
            await publisher.publish(record(topics, b"early"))

        link.restore()
        await healthy(publisher)
        await publisher.publish(record(topics, b"late"))

    assert await values(kafka_bootstrap_servers, topics.raw) == [b"late"]


async def test_missing_topic_is_reported_and_heals_nothing_else(
    kafka_bootstrap_servers: str, topics: TopicNames
) -> None:
    absent = TopicNames(f"{topics.prefix}absent.")
    async with running(publisher_on(kafka_bootstrap_servers, absent)) as publisher:
        await reports(publisher, f"topic {absent.raw} does not exist")


async def test_broker_that_goes_away_fails_publishing_and_heals(
    link: Link, kafka_bootstrap_servers: str, topics: TopicNames
) -> None:
    registry = CollectorRegistry()
    async with running(publisher_on(kafka_bootstrap_servers, topics, registry)) as publisher:
        await healthy(publisher)
        await publisher.publish(record(topics, b"before"))
        link.cut()
        outcomes = await asyncio.gather(
            *(publisher.publish(record(topics, b"during")) for _ in range(20)), return_exceptions=True
        )
        assert all(isinstance(outcome, PublishError) for outcome in outcomes)
        with pytest.raises(PublishError):  # at once: there is no producer
            async with asyncio.timeout(0.5):
                await publisher.publish(record(topics, b"during"))

        link.restore()
        await healthy(publisher)
        await publisher.publish(record(topics, b"after"))

    stored = await values(kafka_bootstrap_servers, topics.raw)
    assert (stored[0], stored[-1]) == (b"before", b"after")
    assert registry.get_sample_value("ringover_producer_replaced_total") == 1
    assert registry.get_sample_value("ringover_publish_failures_total") == 21


async def test_silent_broker_meets_the_deadline_and_leaves_no_task_behind(
    link: Link, kafka_bootstrap_servers: str, topics: TopicNames
) -> None:
    loop = asyncio.get_running_loop()
    async with running(publisher_on(kafka_bootstrap_servers, topics)) as publisher:
        await healthy(publisher)
        await publisher.publish(record(topics, b"before"))
        tasks = len(asyncio.all_tasks())
        link.frozen = True
        began = loop.time()
        with pytest.raises(PublishError):
            await publisher.publish(record(topics, b"during"))
        assert loop.time() - began < TIMEOUT_SECONDS + 1

        link.restore()
        await healthy(publisher)
        await publisher.publish(record(topics, b"after"))

        async def tidy() -> bool:
            return len(asyncio.all_tasks()) <= tasks

        await until(tidy, what="the old producer's tasks to be gone")


async def test_probe_notices_a_silent_broker_without_traffic(
    link: Link, kafka_bootstrap_servers: str, topics: TopicNames
) -> None:
    async with running(publisher_on(kafka_bootstrap_servers, topics)) as publisher:
        await healthy(publisher)
        link.frozen = True
        await reports(publisher, "does not answer")
        link.restore()
        await healthy(publisher)
        await publisher.publish(record(topics, b"after"))


async def test_short_absence_is_invisible(link: Link, kafka_bootstrap_servers: str, topics: TopicNames) -> None:
    """Connections that break and come back within the deadline: the webhook just takes longer."""
    async with running(publisher_on(kafka_bootstrap_servers, topics)) as publisher:
        await healthy(publisher)
        await publisher.publish(record(topics, b"before"))
        link.cut()
        publishing = publisher.publish(record(topics, b"during"))
        asyncio.get_running_loop().call_later(0.5, link.restore)
        await publishing


async def test_stop_flushes_within_its_bound_while_the_broker_is_silent(
    link: Link, kafka_bootstrap_servers: str, topics: TopicNames
) -> None:
    loop = asyncio.get_running_loop()
    async with running(publisher_on(kafka_bootstrap_servers, topics)) as publisher:
        await healthy(publisher)
        link.frozen = True
        began = loop.time()

    assert loop.time() - began < 10


async def test_accumulator_that_fails_unexpectedly_is_replaced(
    kafka_bootstrap_servers: str, topics: TopicNames, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(publisher_on(kafka_bootstrap_servers, topics)) as publisher:
        await healthy(publisher)
        with monkeypatch.context() as patched:
            patched.setattr(RecordAccumulator, "_due_by_broker", lambda _sender: 1 // 0)
            with pytest.raises(PublishError):
                await publisher.publish(OutgoingRecord(topics.raw, b"k", b"1", []))

        await healthy(publisher)
        await publisher.publish(OutgoingRecord(topics.raw, b"k", b"2", []))

        assert [record.value for record in await read_topic(kafka_bootstrap_servers, topics.raw)] == [b"2"]


async def test_accumulator_that_fails_during_a_probe_is_not_available_before_it_is_replaced(
    kafka_bootstrap_servers: str, topics: TopicNames, monkeypatch: pytest.MonkeyPatch
) -> None:
    probing, failed = asyncio.Event(), asyncio.Event()
    probe = AIOKafkaClient.force_metadata_update

    async def slow_probe(client: AIOKafkaClient) -> bool:
        probing.set()
        await failed.wait()
        return bool(await probe(client))

    async with running(publisher_on(kafka_bootstrap_servers, topics)) as publisher:
        await healthy(publisher)
        with monkeypatch.context() as patched:
            patched.setattr(AIOKafkaClient, "force_metadata_update", slow_probe)
            async with asyncio.timeout(PROBE_INTERVAL_SECONDS + 30):
                await probing.wait()
            patched.setattr(RecordAccumulator, "_due_by_broker", lambda _sender: 1 // 0)
            with pytest.raises(PublishError):
                await publisher.publish(OutgoingRecord(topics.raw, b"k", b"1", []))
        failed.set()

        await healthy(publisher)
        await publisher.publish(OutgoingRecord(topics.raw, b"k", b"2", []))

        assert [record.value for record in await read_topic(kafka_bootstrap_servers, topics.raw)] == [b"2"]
