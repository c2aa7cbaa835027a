"""Fixtures for tests on real servers; a test that asks for none of them needs none."""

import gc
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from psycopg import sql

from ops.migrate.run import migrate, packaged_migrations
from schemas.topics import TOPICS, TopicNames
from tests.support.infrastructure import Infrastructure, infrastructure
from tests.support.kafka import connect, create_topics
from tests.support.secured import make_tables

TEST_PARTITIONS = 3
SERVER_DIRECTORIES = {"integration", "e2e"}
WHERE_SERVERS_ARE = {*SERVER_DIRECTORIES, "contract"}  # where the Makefile looks for tests that need them
SERVER_FIXTURES = {"servers", "stack"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test that asks for servers, so that `make check` can leave them out, and let those begin."""
    for item in items:
        asks = SERVER_FIXTURES.intersection(getattr(item, "fixturenames", ()))
        if asks or SERVER_DIRECTORIES.intersection(item.path.parts):
            assert WHERE_SERVERS_ARE.intersection(item.path.parts), f"{item.nodeid} would not be run from there"
            item.add_marker("server")
    items.sort(key=lambda item: item.get_closest_marker("server") is None)


def pytest_collection_finish() -> None:
    """Leave what was imported and collected out of later garbage collections: they would hold up tests that time."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hand out tests so that workers end together, for `--dist loadfile`; xdist would begin with the shortest files."""
    from tests.support.together import Scheduling  # noqa: PLC0415 - xdist is here

    config.option.loadscopereorder = False
    return Scheduling(config, log) if config.option.dist == "loadfile" else None


@pytest.fixture(scope="session")
def servers() -> Iterator[Infrastructure]:
    with infrastructure() as found:
        yield found


@pytest.fixture(scope="session")
def kafka_bootstrap_servers(servers: Infrastructure) -> str:
    return servers.kafka_bootstrap_servers


@pytest.fixture
def database_url(servers: Infrastructure) -> Iterator[str]:
    """A fresh, empty database of the test's own."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield urlsplit(servers.database_url)._replace(path=f"/{name}").geturl()
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def migrated_database_url(servers: Infrastructure, database_url: str) -> str:
    """A fresh database with the current schema; the URL is the administrator's."""
    if servers.secured is not None:
        make_tables(servers.secured, database_url)
    else:
        migrate(database_url, packaged_migrations())
    return database_url


@pytest.fixture
def topic_prefix() -> str:
    return f"t{uuid.uuid4().hex[:10]}."


@pytest.fixture
async def topics(kafka_bootstrap_servers: str, topic_prefix: str) -> AsyncIterator[TopicNames]:
    """The topics of the registry under a prefix of the test's own, deleted afterwards."""
    names = TopicNames(topic_prefix)
    await create_topics(kafka_bootstrap_servers, names, partitions=TEST_PARTITIONS)
    yield names
    admin = AIOKafkaAdminClient(**connect(kafka_bootstrap_servers))
    await admin.start()
    await admin.delete_topics([names.of(topic) for topic in TOPICS])
    await admin.close()
