"""Reads and creates topics through the admin client."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, for_code

from ops.kit.errors import NotAuthorizedError, NotFoundError, OpsError, UnreachableError
from ops.kit.kafka import admin_client
from ops.topics.plan import TopicPlan, TopicSpec, compare, default_replication_factor, wanted_topics
from runtime.broker_errors import broker_words
from runtime.settings import KafkaSettings
from schemas.topics import TopicNames

ALREADY_EXISTS = 36  # Kafka protocol error codes
AUTHORIZATION_FAILED = (29, 31)
VISIBLE_SECONDS = 15
POLL_SECONDS = 0.1


async def apply_topics(
    settings: KafkaSettings,
    *,
    partitions: int | None = None,
    replication_factor: int | None = None,
    retention: Mapping[str, timedelta] | None = None,
) -> TopicPlan:
    """Create the missing topics and wait until they have leaders; nothing at all if an existing one differs.

    Raises:
        OpsError: the broker is away or refuses.
    """
    names = TopicNames(settings.kafka_topic_prefix)
    async with admin_client(settings) as admin:
        cluster = await admin.describe_cluster()
        factor = replication_factor or default_replication_factor(len(cluster["brokers"]))
        wanted = wanted_topics(names, replication_factor=factor, partitions=partitions, retention=retention)
        plan = compare(wanted, await read_topics(admin, [topic.name for topic in wanted]))
        if plan.missing and not plan.differences:
            await _create(admin, plan.missing)
            await _wait_visible(admin, plan.missing)
        return plan


async def read_topics(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, TopicSpec]:
    """The topics among `names` that exist, with their configuration."""
    found = await _read_layout(admin, names)
    configs = await _read_configs(admin, found) if found else {}
    return {name: replace(topic, config=configs[name]) for name, topic in found.items()}


async def partitions_of(admin: AIOKafkaAdminClient, topic: str) -> int:
    """How many partitions a topic has.

    Raises:
        NotFoundError: there is no such topic.
    """
    return (await partitions_of_all(admin, [topic]))[topic]


async def partitions_of_all(admin: AIOKafkaAdminClient, topics: Sequence[str]) -> dict[str, int]:
    """How many partitions each topic has.

    Raises:
        NotFoundError: one of them is missing.
    """
    found = await _read_layout(admin, topics)
    for topic in topics:
        if topic not in found:
            raise NotFoundError(f"no topic {topic}: run `ringover-ops topics apply`, or check KAFKA_TOPIC_PREFIX")
    return {topic: found[topic].partitions for topic in topics}


async def _read_layout(admin: AIOKafkaAdminClient, names: Iterable[str]) -> dict[str, TopicSpec]:
    # All topics, not ours by name: asking for a missing one by name creates it where the broker allows that.
    described = {topic["topic"]: topic for topic in await admin.describe_topics()}
    return {
        name: TopicSpec(
            name=name,
            partitions=len(described[name]["partitions"]),
            replication_factor=min(len(partition["replicas"]) for partition in described[name]["partitions"]),
        )
        for name in names
        if name in described and described[name]["partitions"]
    }


async def _read_configs(admin: AIOKafkaAdminClient, names: Iterable[str]) -> dict[str, Mapping[str, str]]:
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    configs: dict[str, Mapping[str, str]] = {}
    for response in await admin.describe_configs(resources):
        for code, message, _type, name, entries in response.resources:
            _check(code, message, f"cannot read the configuration of {name}")
            configs[name] = {entry[0]: entry[1] for entry in entries if entry[1] is not None}
    return configs


async def _create(admin: AIOKafkaAdminClient, topics: Iterable[TopicSpec]) -> None:
    response = await admin.create_topics(
        [
            NewTopic(topic.name, topic.partitions, topic.replication_factor, topic_configs=dict(topic.config))
            for topic in topics
        ]
    )
    for name, code, *message in response.topic_errors:
        if code != ALREADY_EXISTS:  # somebody else applies at the same time
            _check(code, message[0] if message else None, f"cannot create {name}")


async def _wait_visible(admin: AIOKafkaAdminClient, topics: Sequence[TopicSpec]) -> None:
    """Until every partition has a leader: only then can a client use the topic."""
    names = {topic.name for topic in topics}
    try:
        async with asyncio.timeout(VISIBLE_SECONDS):
            while True:
                led = {
                    topic["topic"]
                    for topic in await admin.describe_topics()
                    if topic["partitions"] and all(partition["leader"] >= 0 for partition in topic["partitions"])
                }
                if names <= led:
                    return
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError as error:
        raise UnreachableError(f"topics created, but without leaders after {VISIBLE_SECONDS} s") from error


def _check(code: int, message: str | None, doing: str) -> None:
    if code == 0:
        return
    error: KafkaError = for_code(code)(message or "")
    kind = NotAuthorizedError if code in AUTHORIZATION_FAILED else OpsError
    raise kind(f"{doing}: {broker_words(error)}")
