"""`topics apply` on a real broker."""

import asyncio
import os
import sys
from subprocess import PIPE

import orjson
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from ops.kit.kafka import admin_client
from ops.kit.topics import read_topics
from ops.topics.plan import parse_retention
from ops.topics.run import apply_topics
from runtime.settings import KafkaSettings
from schemas.topics import DAY_MS, MAX_MESSAGE_BYTES, RAW, TOPICS, TopicNames
from tests.support.waiting import until


def settings(bootstrap_servers: str, prefix: str) -> KafkaSettings:
    return KafkaSettings(kafka_bootstrap_servers=bootstrap_servers, kafka_topic_prefix=prefix)


async def remove(admin: AIOKafkaAdminClient, prefix: str) -> None:
    await admin.delete_topics([TopicNames(prefix).of(topic) for topic in TOPICS])


async def test_apply_creates_usable_topics_and_a_second_apply_touches_nothing(
    kafka_bootstrap_servers: str, topic_prefix: str
) -> None:
    given = settings(kafka_bootstrap_servers, topic_prefix)

    first = await apply_topics(given, partitions=2)
    second = await apply_topics(given, partitions=2)

    names = [TopicNames(topic_prefix).of(topic) for topic in TOPICS]
    async with admin_client(given) as admin:
        found = await read_topics(admin, names)
        await remove(admin, topic_prefix)
    assert [topic.name for topic in first.missing] == names
    assert (second.missing, second.differences) == ((), ())
    assert {topic.partitions for topic in found.values()} == {2}
    raw = found[TopicNames(topic_prefix).raw].config
    assert raw["message.timestamp.type"] == "LogAppendTime"
    assert raw["max.message.bytes"] == str(MAX_MESSAGE_BYTES)


async def test_a_topic_that_differs_is_reported_and_nothing_is_touched(
    kafka_bootstrap_servers: str, topic_prefix: str
) -> None:
    given = settings(kafka_bootstrap_servers, topic_prefix)
    raw = TopicNames(topic_prefix).raw
    await apply_topics(given, partitions=2)
    async with admin_client(given) as admin:
        config = {**RAW.config, "retention.ms": "60000"}
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, raw, config)])
        await admin.delete_topics([TopicNames(topic_prefix).call])

        async def shows() -> bool:  # a broker follows its controller
            found = await read_topics(admin, [raw, TopicNames(topic_prefix).call])
            return found.keys() == {raw} and found[raw].config["retention.ms"] == "60000"

        await until(shows, what="the change")

        plan = await apply_topics(given, partitions=3)

        left = await read_topics(admin, [TopicNames(topic_prefix).of(topic) for topic in TOPICS])
        await remove(admin, topic_prefix)
    of_raw = [(diff.what, diff.wanted, diff.found) for diff in plan.differences if diff.topic == raw]
    assert of_raw == [("partitions", "3", "2"), ("retention.ms", RAW.config["retention.ms"], "60000")]
    assert [topic.name for topic in plan.missing] == [TopicNames(topic_prefix).call]
    assert TopicNames(topic_prefix).call not in left
    assert left[raw].partitions == 2


async def test_the_command_ends_with_3_and_names_the_difference_as_json(
    kafka_bootstrap_servers: str, topic_prefix: str
) -> None:
    env = os.environ | {"KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap_servers, "KAFKA_TOPIC_PREFIX": topic_prefix}
    codes, outputs = [], []

    for partitions in ("1", "1", "2"):
        command = [sys.executable, "-m", "ops", "topics", "apply", "--partitions", partitions, "-o", "json"]
        process = await asyncio.create_subprocess_exec(*command, env=env, stdout=PIPE, stderr=PIPE)
        output, _talk = await process.communicate()
        codes.append(process.returncode)
        outputs.append(orjson.loads(output))

    async with admin_client(settings(kafka_bootstrap_servers, topic_prefix)) as admin:
        await remove(admin, topic_prefix)
    assert codes == [0, 0, 3]
    assert [len(output["created"]) for output in outputs] == [len(TOPICS), 0, 0]
    assert {difference["what"] for difference in outputs[2]["differences"]} == {"partitions"}


async def test_a_retention_per_topic_is_what_the_broker_has_afterwards(
    kafka_bootstrap_servers: str, topic_prefix: str
) -> None:
    given, names = settings(kafka_bootstrap_servers, topic_prefix), TopicNames(topic_prefix)
    kept = parse_retention(["recording=7d", "raw=14d"])

    await apply_topics(given, partitions=1, retention=kept)
    again = await apply_topics(given, partitions=1, retention=kept)

    async with admin_client(given) as admin:
        found = await read_topics(admin, [names.of(topic) for topic in TOPICS])
        await remove(admin, topic_prefix)
    assert (again.missing, again.differences) == ((), ())
    shown = {name: (topic.config["retention.ms"], topic.config["segment.ms"]) for name, topic in found.items()}
    assert shown[names.recording] == (str(7 * DAY_MS), str(DAY_MS))
    assert shown[names.raw] == (str(14 * DAY_MS), str(DAY_MS))
    assert shown[names.call][0] == str(30 * DAY_MS)
