"""Fixtures for tests on real servers; a test that asks for none of them needs none."""

import gc
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
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
# Where the Makefile looks for tests that need servers; mutations are run by themselves.
WHERE_SERVERS_ARE = {*SERVER_DIRECTORIES, "contract", "mutations"}
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


@pytest.fixture(scope="session")
def databases() -> Iterator[dict[str, str]]:
    """The databases of this process's tests: by the server's URL, made when first asked for."""
    made: dict[str, str] = {}
    yield made
    for administrator, url in made.items():
        # A server of one module is gone by now.
        with suppress(psycopg.OperationalError), psycopg.connect(administrator, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(_name(url)))


@pytest.fixture
def database_url(servers: Infrastructure, databases: dict[str, str]) -> Iterator[str]:
    """A database of the test's own, as empty as a fresh one: making one for each took most of PostgreSQL's time."""
    url = databases.get(servers.database_url)
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        if url is None:
            url = urlsplit(servers.database_url)._replace(path=f"/test_{uuid.uuid4().hex[:12]}").geturl()
            connection.execute(sql.SQL("CREATE DATABASE {}").format(_name(url)))
            databases[servers.database_url] = url
        yield url
        connection.execute(sql.SQL("ALTER DATABASE {} RESET ALL").format(_name(url)))
        # Waits until they have ended: what they hold would hold up what follows.
        connection.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s",
            [urlsplit(url).path[1:]],
        )
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public AUTHORIZATION pg_database_owner")
        connection.execute("GRANT USAGE ON SCHEMA public TO PUBLIC")


def _name(url: str) -> sql.Identifier:
    return sql.Identifier(urlsplit(url).path[1:])


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
