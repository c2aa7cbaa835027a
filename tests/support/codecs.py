"""Topics whose `compression.type` is changed, and producers that compress as they like."""

from collections.abc import Iterable

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import for_code
from confluent_kafka import Producer

from ops.kit.topics import TopicSpec
from tests.support.kafka import Webhook, connect, raw_headers

CODECS = ("gzip", "snappy", "lz4", "zstd")


async def set_codec(bootstrap_servers: str, topics: Iterable[TopicSpec], codec: str) -> None:
    """Let the broker compress what is written to these topics from now on; `producer` is what the registry wants."""
    # The client's only way to alter replaces a topic's whole configuration.
    wanted = [
        ConfigResource(ConfigResourceType.TOPIC, topic.name, {**topic.config, "compression.type": codec})
        for topic in topics
    ]
    admin = AIOKafkaAdminClient(**connect(bootstrap_servers))
    await admin.start()
    try:
        for answer in await admin.alter_configs(wanted):
            for code, message, *_ in answer.resources:
                if code:
                    raise for_code(code)(message)
    finally:
        await admin.close()


async def store_by_aiokafka(bootstrap_servers: str, topic: str, webhooks: Iterable[Webhook], codec: str) -> int:
    """Write webhooks as a foreign producer would; Snappy in the framing of Java's Xerial."""
    count = 0
    options = {**connect(bootstrap_servers), "compression_type": codec, "acks": "all", "linger_ms": 20}
    async with AIOKafkaProducer(**options) as producer:
        for webhook in webhooks:
            await producer.send(topic, webhook.body, webhook.key.encode(), headers=raw_headers(webhook.slug))
            count += 1
        await producer.flush()
    return count


def store_by_librdkafka(bootstrap_servers: str, topic: str, webhooks: Iterable[Webhook], codec: str) -> int:
    """The same by another library; Snappy without framing."""
    count = 0
    producer = Producer(
        {
            "bootstrap.servers": bootstrap_servers,
            "compression.type": codec,
            "linger.ms": 20,
            "partitioner": "murmur2_random",
        }
    )
    for webhook in webhooks:
        producer.produce(topic, webhook.body, webhook.key.encode(), headers=list(raw_headers(webhook.slug)))
        count += 1
    assert producer.flush(30) == 0
    return count
