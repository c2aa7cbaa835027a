"""Reading and writing topics in tests: whole topics, read committed, with the project's own client."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic

from runtime.kafka import client_options
from runtime.settings import KafkaSettings
from schemas.headers import Headers, RawHeaders
from schemas.topics import TOPICS, TopicNames
from tests.support.reference_model import Raw
from tests.support.waiting import until


@dataclass(frozen=True)
class Webhook:
    """One authenticated webhook as the ingress would have stored it."""

    slug: str
    key: str
    body: bytes


def raw_headers(slug: str) -> Headers:
    return RawHeaders(
        request_id="00000000-0000-4000-8000-000000000000",
        endpoint=slug,
        received_at="2026-01-02T15:00:00.000Z",
        auth_scheme="hmac",
        auth_key_id="test",
        content_type="application/json",
    ).encode()


def connect(bootstrap_servers: str) -> dict[str, Any]:
    """Options of the tests' own clients: whatever else the brokers ask for is in the KAFKA_* variables."""
    options = client_options(KafkaSettings(kafka_bootstrap_servers=bootstrap_servers), client_id="")
    del options["client_id"]
    return options


@asynccontextmanager
async def producer(bootstrap_servers: str) -> AsyncIterator[AIOKafkaProducer]:
    client = AIOKafkaProducer(**connect(bootstrap_servers), acks="all", max_request_size=4 * 1024 * 1024)
    await client.start()
    try:
        yield client
    finally:
        await client.stop()


async def create_topics(bootstrap_servers: str, names: TopicNames, *, partitions: int) -> None:
    """Make the registry's topics, and wait until each partition has a leader: only then can clients use them."""
    wanted = {names.of(topic): topic.config for topic in TOPICS}
    admin = AIOKafkaAdminClient(**connect(bootstrap_servers))
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, partitions, 1, topic_configs=wanted[name]) for name in wanted])
        await until(lambda: _led(admin, wanted, partitions), what="leaders of the new topics")
    finally:
        await admin.close()


async def grow(bootstrap_servers: str, topics: Iterable[str], *, partitions: int) -> None:
    """Add partitions to topics as somebody who has not read the runbook does, and wait until each has a leader."""
    wanted = list(topics)
    admin = AIOKafkaAdminClient(**connect(bootstrap_servers))
    await admin.start()
    try:
        await admin.create_partitions({name: NewPartitions(partitions) for name in wanted})
        await until(lambda: _led(admin, wanted, partitions), what=f"{partitions} partitions of {wanted}")
    finally:
        await admin.close()


async def _led(admin: AIOKafkaAdminClient, names: Iterable[str], partitions: int) -> bool:
    found = {topic["topic"]: topic["partitions"] for topic in await admin.describe_topics()}
    return all(
        len(found.get(name, ())) == partitions and all(part["leader"] >= 0 for part in found[name]) for name in names
    )


async def store(bootstrap_servers: str, topic: str, webhooks: Iterable[Webhook]) -> int:
    """Write webhooks to the raw topic, in order; how many there were."""
    count = 0
    async with producer(bootstrap_servers) as client:
        for webhook in webhooks:
            await client.send(topic, webhook.body, webhook.key.encode(), headers=raw_headers(webhook.slug))
            count += 1
        await client.flush()
    return count


async def read_topic(bootstrap_servers: str, topic: str) -> list[ConsumerRecord]:
    """Every committed record of a topic, by partition and offset."""
    consumer = AIOKafkaConsumer(
        topic,
        **connect(bootstrap_servers),
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed",
        max_partition_fetch_bytes=4 * 1024 * 1024,
    )
    await consumer.start()
    try:
        partitions = sorted(consumer.assignment())
        ends = await consumer.end_offsets(partitions)
        await consumer.seek_to_beginning(*partitions)
        records: list[ConsumerRecord] = []
        while any([await consumer.position(partition) < ends[partition] for partition in partitions]):
            for found in (await consumer.getmany(timeout_ms=200)).values():
                records += found
    finally:
        await consumer.stop()
    return sorted(records, key=lambda record: (record.partition, record.offset))


def as_raw(records: Sequence[ConsumerRecord]) -> list[Raw]:
    """Records of the raw topic for the reference model."""
    return [Raw(r.partition, r.offset, r.key, r.value, tuple(r.headers)) for r in records]
