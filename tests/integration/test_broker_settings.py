"""Brokers whose settings do not fit: every program names the setting, on real ones."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import TopicPartition

from processors.kafka_output import KafkaOutput
from runtime.errors import PublishError
from sandbox.devstack.kafka import KafkaExtra
from sandbox.devstack.ports import HOST
from sandbox.devstack.stack import Devstack, DevstackConfig
from schemas.topics import TopicNames
from tests.support.cli import run
from tests.support.kafka import create_topics, store
from tests.support.ports import stable_port
from tests.support.processes import Program, Programs
from tests.support.traffic import started
from tests.support.waiting import until

NAMES = TopicNames("")


@pytest.fixture(scope="module")
def stack() -> Iterator[Devstack]:
    """A broker that ends transactions sooner than we need, takes only short sessions, and has a listener ELSEWHERE.

    That one advertises an address where nobody listens.
    """
    port, closed = stable_port(), stable_port()
    settings = {
        "transaction.max.timeout.ms": 4_000,
        "group.max.session.timeout.ms": 5_000,
        "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT,ELSEWHERE:PLAINTEXT",
        "advertised.listeners": f"CLIENT://{HOST}:{port},ELSEWHERE://{HOST}:{closed}",
    }
    extra = KafkaExtra(settings, listeners={"ELSEWHERE": 0})
    with Devstack(DevstackConfig(postgres=False, kafka_port=port, kafka_extra=extra)) as running:
        asyncio.run(create_topics(running.kafka_bootstrap_servers, NAMES, partitions=1))
        yield running


@pytest.fixture
def elsewhere(stack: Devstack) -> tuple[str, str]:
    """Where that listener is, and the address that it advertises."""
    advertised = str(stack.config.kafka_extra.settings["advertised.listeners"])
    return f"{HOST}:{stack.kafka.listeners['ELSEWHERE']}", advertised.rpartition("://")[2]


@pytest.fixture
def hasty(stack: Devstack) -> str:
    return stack.kafka_bootstrap_servers


@asynccontextmanager
async def programs(servers: str, database_url: str, directory: Path) -> AsyncIterator[Programs]:
    found = Programs(
        {
            "KAFKA_BOOTSTRAP_SERVERS": servers,
            "DATABASE_URL": database_url,
            "PROCESSOR_HOST": HOST,
            "INGRESS_HOST": HOST,
            "INGRESS_HMAC_SECRETS": "test:a-secret-of-the-tests",
        },
        directory,
    )
    try:
        yield found
    finally:
        found.close()


async def said(program: Program, words: str) -> None:
    """Wait until /readyz says so, and see that the log does, too."""

    async def says() -> bool:
        assert program.running, program.tail()
        return words in (await program.readyz())[1]

    await until(says, seconds=90, what=f"{words!r} of {program.name}")
    assert words in program.tail(1000)


async def test_an_advertised_address_that_cannot_be_reached_is_named_by_every_program(
    elsewhere: tuple[str, str], migrated_database_url: str, tmp_path: Path
) -> None:
    asked, closed = elsewhere
    words = f"{asked} answers, but advertises node 1 at {closed} (advertised.listeners), and {closed} cannot be reached"
    async with programs(asked, migrated_database_url, tmp_path) as found:
        both = found.processor(), found.ingress()
        for command in (["lag"], ["topics", "apply"], ["tail"], ["dead-letters", "list"]):
            ran = await run(found.env, *command, expect=1)
            assert words in ran.err
            assert "no broker answers" not in ran.err
        for program in both:
            await said(program, words)


async def test_a_transaction_timeout_beyond_the_brokers_is_named_with_our_value(
    hasty: str, migrated_database_url: str, tmp_path: Path
) -> None:
    words = "transaction.max.timeout.ms of the brokers is less than the {} ms that we need"
    source, place = TopicPartition(NAMES.raw, 0), TopicPartition(NAMES.offset, 0)
    output = KafkaOutput({"bootstrap_servers": hasty}, group="g", source=source, place=lambda: place)
    with pytest.raises(PublishError, match=words.format(30_000)):
        await output.start()
    await output.stop()

    async with programs(hasty, migrated_database_url, tmp_path) as found:
        await store(hasty, NAMES.raw, [started("a")])
        await said(found.processor(PROCESSOR_SESSION_TIMEOUT_SECONDS="3"), words.format(30_000))
        rewind = await run(found.env, "rewind", "--to-offset", "1", "--skip-unprocessed", "--execute")
        assert (rewind.code, words.format(5_000) in rewind.err) == (1, True), rewind


async def test_a_session_timeout_beyond_the_brokers_is_named(
    hasty: str, migrated_database_url: str, tmp_path: Path
) -> None:
    async with programs(hasty, migrated_database_url, tmp_path) as found:
        processor = found.processor(PROCESSOR_SESSION_TIMEOUT_SECONDS="30", PROCESSOR_GROUP="other")

        await said(processor, "PROCESSOR_SESSION_TIMEOUT_SECONDS is not between the brokers' group.min.session.timeout")
