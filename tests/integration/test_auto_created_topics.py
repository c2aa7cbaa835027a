"""A broker that makes topics by itself, which is Kafka's default: none of our programs makes it do so.

And topics that others made: what is wrong with them is said, and an ingress that they would hurt takes nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from ops.kit.errors import OpsError
from ops.kit.topics import read_topics
from ops.migrate.run import migrate, packaged_migrations
from sandbox.devstack.kafka import KafkaExtra
from sandbox.devstack.stack import Devstack, DevstackConfig
from schemas.topics import DEAD_LETTER, RAW, TOPICS, Topic, TopicNames
from tests.support import cli
from tests.support.kafka import connect, create_topics, read_topic
from tests.support.load import Answers, post_all
from tests.support.ports import stable_port
from tests.support.processes import Program, Programs
from tests.support.traffic import ended, started
from tests.support.waiting import until

WEBHOOKS = [started("a"), ended("a")]


@pytest.fixture(scope="module")
def willing() -> Iterator[Devstack]:
    """Servers as they are by default: whoever asks for a topic gets one."""
    extra = KafkaExtra(settings={"auto.create.topics.enable": "true"})
    with Devstack(DevstackConfig(kafka_extra=extra)) as stack:
        migrate(stack.database_url, packaged_migrations())
        yield stack


@pytest.fixture
def programs(willing: Devstack, topic_prefix: str, tmp_path: Path) -> Iterator[Programs]:
    started_ones = Programs(
        {
            "KAFKA_BOOTSTRAP_SERVERS": willing.kafka_bootstrap_servers,
            "KAFKA_TOPIC_PREFIX": topic_prefix,
            "DATABASE_URL": willing.database_url,
            "PROCESSOR_GROUP": f"{topic_prefix}normalizer",
            "PROCESSOR_HOST": "127.0.0.1",
            "INGRESS_HOST": "127.0.0.1",
            "INGRESS_HMAC_SECRETS": "test:a-secret-of-the-tests",
        },
        tmp_path,
    )
    yield started_ones
    started_ones.close()


@asynccontextmanager
async def admin_of(stack: Devstack) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(**connect(stack.kafka_bootstrap_servers))
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def topics_of(stack: Devstack, prefix: str) -> set[str]:
    async with admin_of(stack) as admin:
        return {name for name in await admin.list_topics() if name.startswith(prefix)}


async def says(program: Program, status: int, *words: str) -> str:
    async def answer() -> str | None:
        found, text = await program.readyz()
        return text if found == status and all(word in text for word in words) else None

    # Settings are asked for once a minute.
    found = await until(answer, seconds=120, what=f"{status} and {words} from {program.name}")
    assert found is not None
    return found


async def posted(port: int) -> Answers:
    return await post_all(f"http://127.0.0.1:{port}", WEBHOOKS, connections=1)


async def test_ingress_and_processor_that_start_before_topics_apply_make_none_and_go_on_by_themselves(
    willing: Devstack, topic_prefix: str, programs: Programs
) -> None:
    port, names = stable_port(), TopicNames(topic_prefix)
    ingress, processor = programs.ingress(INGRESS_PORT=str(port)), programs.processor()
    await says(ingress, 503, f"topic {names.raw} does not exist")
    await says(processor, 503, f"topic {names.raw} does not exist")
    assert [status for status, _ in (await posted(port)).refused] == [503, 503]
    await says(ingress, 503, f"topic {names.raw} does not exist")  # still, after it was asked for
    assert await topics_of(willing, topic_prefix) == set()

    await cli.run(programs.env, "topics", "apply", expect=0)

    await says(ingress, 200, "ok\n")
    await says(processor, 200, "ok\n")
    assert len((await posted(port)).accepted) == 2
    assert await topics_of(willing, topic_prefix) == {names.of(topic) for topic in TOPICS}


async def test_ingress_with_a_spool_keeps_webhooks_until_there_are_topics(
    willing: Devstack, topic_prefix: str, programs: Programs, tmp_path: Path
) -> None:
    port, names = stable_port(), TopicNames(topic_prefix)
    ingress = programs.ingress(INGRESS_PORT=str(port), INGRESS_SPOOL_DIR=str(tmp_path / "spool"))
    await says(ingress, 200, "ok, but", f"topic {names.raw} does not exist")
    assert len((await posted(port)).accepted) == 2
    assert await topics_of(willing, topic_prefix) == set()

    await cli.run(programs.env, "topics", "apply", expect=0)

    async def stored() -> bool:
        found = await read_topic(willing.kafka_bootstrap_servers, names.raw)
        return {record.value for record in found} == {webhook.body for webhook in WEBHOOKS}  # at least once

    await until(stored, seconds=60, what="the spool's records in Kafka")


@pytest.mark.parametrize(
    "command",
    [
        ["lag"],
        ["lag", "--group", "billing", "--topic", "call"],
        ["tail", "call", "--count", "1"],
        ["calls", "show", "a"],
        ["calls", "replay", "a", "--execute"],
        ["dead-letters", "list"],
        ["dead-letters", "show", "0:1"],
        ["dead-letters", "replay", "--execute"],
        ["rewind", "--to-earliest"],
        ["rewind", "--to-earliest", "--execute"],
        ["rewind", "--to-earliest", "--group", "billing"],
        ["rewind", "--to-earliest", "--diff"],
        ["state", "verify"],
        ["state", "rebuild"],
        ["state", "stats"],
        ["erase", "--call-id", "a"],
        ["top", "--once"],
    ],
    ids=" ".join,
)
async def test_no_command_makes_a_topic(
    willing: Devstack, topic_prefix: str, programs: Programs, command: list[str]
) -> None:
    ran = await cli.run(programs.env, *command)

    assert ran.code in {0, 1, 2, 3, 4, 6}
    assert await topics_of(willing, topic_prefix) == set()


async def make(stack: Devstack, names: TopicNames, **others: Mapping[str, str] | int) -> None:
    """Topics that somebody else made: raw as the broker's defaults have it, but for `others`."""
    await create_topics(stack.kafka_bootstrap_servers, names, partitions=3)
    async with admin_of(stack) as admin:
        await admin.delete_topics([names.raw])

        async def made() -> bool:
            answer = await admin.create_topics([NewTopic(names.raw, 1, 1, topic_configs=dict(others))])
            return all(code == 0 for _, code, *_ in answer.topic_errors)

        await until(made, what="raw as others make it")

        async def shown() -> bool:
            try:
                found = (await read_topics(admin, [names.raw])).get(names.raw)
            except OpsError:  # the broker that is asked for settings may not know it yet
                return False
            return found is not None and found.partitions == 1 and bool(found.config)

        await until(shown, what="raw as others made it")


async def set_to(stack: Devstack, names: TopicNames, topic: Topic, **changed: str) -> None:
    config = {**topic.config, **{key.replace("_", "."): value for key, value in changed.items()}}
    async with admin_of(stack) as admin:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, names.of(topic), config)])

        async def shown() -> bool:
            # Acknowledged, it is not yet what a broker answers; who starts too early asks again after a minute only.
            return (await read_topics(admin, [names.of(topic)]))[names.of(topic)].config.items() >= config.items()

        await until(shown, what=f"{topic.name} as it was set")


async def test_a_raw_topic_that_a_broker_made_is_named_and_gets_no_webhook(
    willing: Devstack, topic_prefix: str, programs: Programs
) -> None:
    port, names = stable_port(), TopicNames(topic_prefix)
    await make(willing, names)
    ingress, processor = programs.ingress(INGRESS_PORT=str(port)), programs.processor()

    why = f"topic {names.raw} has message.timestamp.type CreateTime and needs LogAppendTime"
    await says(ingress, 503, why)
    await says(processor, 503, why)
    assert [status for status, _ in (await posted(port)).refused] == [503, 503]
    assert "keeps records for 7 days, by the brokers' default, and not 30" in ingress.tail(1000)
    assert "topics differ in partitions" in ingress.tail(1000)

    await set_to(willing, names, RAW)  # it looks each minute
    await says_within_minutes(ingress, "ok, but topics differ in partitions")
    assert len((await posted(port)).accepted) == 2


async def says_within_minutes(program: Program, word: str) -> None:
    async def answer() -> bool:
        status, text = await program.readyz()
        return status == 200 and word in text

    await until(answer, seconds=240, what=word)


@pytest.mark.parametrize("topic", [RAW, DEAD_LETTER], ids=["raw", "dead-letter"])
async def test_a_topic_of_bodies_that_is_compacted_gets_no_webhook(
    willing: Devstack, topic_prefix: str, programs: Programs, topic: Topic
) -> None:
    port, names = stable_port(), TopicNames(topic_prefix)
    await create_topics(willing.kafka_bootstrap_servers, names, partitions=3)
    await set_to(willing, names, topic, cleanup_policy="compact,delete")

    ingress = programs.ingress(INGRESS_PORT=str(port))

    await says(ingress, 503, f"topic {names.of(topic)} has cleanup.policy compact,delete and needs delete")
    assert [status for status, _ in (await posted(port)).refused] == [503, 503]


async def test_a_retention_that_was_set_on_purpose_is_no_fault(
    willing: Devstack, topic_prefix: str, programs: Programs
) -> None:
    names = TopicNames(topic_prefix)
    await create_topics(willing.kafka_bootstrap_servers, names, partitions=3)
    await set_to(willing, names, RAW, retention_ms=str(7 * 24 * 3600 * 1000))

    ingress, processor = programs.ingress(INGRESS_PORT=str(stable_port())), programs.processor()

    async with asyncio.TaskGroup() as both:
        both.create_task(says(ingress, 200, "ok\n"))
        both.create_task(says(processor, 200, "ok\n"))
    assert (await ingress.readyz())[1] == (await processor.readyz())[1] == "ok\n"
