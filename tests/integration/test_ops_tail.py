"""`tail` on a real broker: what is committed, in order, and nothing else."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

import orjson
import pytest
from aiokafka import AIOKafkaProducer

from ops.kit.errors import NotFoundError
from ops.kit.record_view import RecordView
from ops.tail.run import ALL, TailOptions, follow, topic_names
from runtime.settings import KafkaSettings
from schemas.topics import TopicNames
from tests.support.kafka import connect

DEADLINE_SECONDS = 60


@asynccontextmanager
async def transactional(bootstrap_servers: str, topics: TopicNames) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(**connect(bootstrap_servers), transactional_id=topics.prefix)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def write(producer: AIOKafkaProducer, topic: str, values: list[bytes], *, commit: bool) -> None:
    await producer.begin_transaction()
    for value in values:
        await producer.send_and_wait(topic, value, key=b"k", partition=0, headers=[("ce_type", b"call.started")])
    await (producer.commit_transaction() if commit else producer.abort_transaction())


async def collect(
    settings: KafkaSettings, options: TailOptions, *, ready: Callable[[], None] = lambda: None
) -> list[RecordView]:
    async with asyncio.timeout(DEADLINE_SECONDS):
        async with aclosing(follow(settings, options, stop=asyncio.Event(), ready=ready)) as records:
            return [record async for record in records]


async def test_only_committed_records_are_shown_in_order(kafka_bootstrap_servers: str, topics: TopicNames) -> None:
    settings = KafkaSettings(kafka_bootstrap_servers=kafka_bootstrap_servers, kafka_topic_prefix=topics.prefix)
    async with transactional(kafka_bootstrap_servers, topics) as producer:
        await write(producer, topics.call, [b"1"], commit=True)
        await write(producer, topics.call, [b"aborted"], commit=False)
        await write(producer, topics.call, [b"2", b"3"], commit=True)

    found = await collect(settings, TailOptions(topics=(topics.call,), from_beginning=True, maximum=3))

    assert [record.value for record in found] == [b"1", b"2", b"3"]
    assert found[0].key == b"k"
    assert list(found[0].headers) == [("ce_type", b"call.started")]


async def test_from_now_on_shows_what_comes_after_ready(kafka_bootstrap_servers: str, topics: TopicNames) -> None:
    settings = KafkaSettings(kafka_bootstrap_servers=kafka_bootstrap_servers, kafka_topic_prefix=topics.prefix)
    options = TailOptions(topics=topic_names(topics, ALL), maximum=2)
    ready = asyncio.Event()
    async with transactional(kafka_bootstrap_servers, topics) as producer:
        await write(producer, topics.call, [b"before"], commit=True)
        async with asyncio.TaskGroup() as group:
            following = group.create_task(collect(settings, options, ready=ready.set))
            await ready.wait()
            await write(producer, topics.call, [b"after"], commit=True)
            await write(producer, topics.dead_letter, [b"dead"], commit=True)

    assert {record.value for record in following.result()} == {b"after", b"dead"}


async def test_a_missing_topic_is_said_to_be_missing(kafka_bootstrap_servers: str, topic_prefix: str) -> None:
    settings = KafkaSettings(kafka_bootstrap_servers=kafka_bootstrap_servers, kafka_topic_prefix=topic_prefix)

    with pytest.raises(NotFoundError, match=topic_prefix):
        await collect(settings, TailOptions(topics=(TopicNames(topic_prefix).call,)))


async def test_the_command_writes_a_json_line_per_record_and_ctrl_c_ends_it_with_0(
    kafka_bootstrap_servers: str, topics: TopicNames
) -> None:
    async with transactional(kafka_bootstrap_servers, topics) as producer:
        await write(producer, topics.call, [b'{"call_id":"a"}'], commit=True)
    env = os.environ | {"KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap_servers, "KAFKA_TOPIC_PREFIX": topics.prefix}
    command = [sys.executable, "-m", "ops", "tail", "--topic", "call", "--from-beginning", "-o", "json"]
    process = await asyncio.create_subprocess_exec(*command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None

    async with asyncio.timeout(DEADLINE_SECONDS):
        line = await process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest, talk = await process.communicate()

    assert orjson.loads(line)["value"] == {"call_id": "a"}
    assert rest == b""
    assert talk.decode().startswith(f"following {topics.call}")
    assert process.returncode == 0
