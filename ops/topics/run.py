"""Creates topics through the admin client."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from ops.kit.errors import UnreachableError
from ops.kit.kafka import admin_client
from ops.kit.topics import TopicSpec, raise_for, read_topics
from ops.topics.plan import TopicPlan, compare, default_replication_factor, wanted_topics
from runtime.settings import KafkaSettings
from schemas.topics import TopicNames

ALREADY_EXISTS = 36  # Kafka protocol error code
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
            await _wait_visible(admin, {topic.name for topic in plan.missing})
        return plan


async def _create(admin: AIOKafkaAdminClient, topics: Sequence[TopicSpec]) -> None:
    new = [NewTopic(t.name, t.partitions, t.replication_factor, topic_configs=dict(t.config)) for t in topics]
    for name, code, *message in (await admin.create_topics(new)).topic_errors:
        if code != ALREADY_EXISTS:  # somebody else applies at the same time
            raise_for(code, message[0] if message else None, f"cannot create {name}")


async def _wait_visible(admin: AIOKafkaAdminClient, names: set[str]) -> None:
    """Return when every partition has a leader: only then can a client use the topic."""
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
