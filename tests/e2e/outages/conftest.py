"""Fixtures for outages: servers of each module's own, since they are killed and frozen."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.migrate.run import migrate, packaged_migrations
from sandbox.devstack.stack import Devstack, DevstackConfig
from schemas.topics import TopicNames
from tests.support.kafka import create_topics
from tests.support.processes import Programs
from tests.support.signing import SECRET
from tests.support.verdict import Place


@pytest.fixture(scope="module")
def stack() -> Iterator[Devstack]:
    with Devstack(DevstackConfig()) as running:
        migrate(running.database_url, packaged_migrations())
        yield running


@pytest.fixture
async def place(stack: Devstack, topic_prefix: str) -> Place:
    names = TopicNames(topic_prefix)
    await create_topics(stack.kafka_bootstrap_servers, names, partitions=3)
    return Place(stack.kafka_bootstrap_servers, stack.database_url, names, group=f"{topic_prefix}normalizer")


@pytest.fixture
def programs(place: Place, tmp_path: Path) -> Iterator[Programs]:
    started = Programs(
        {
            "KAFKA_BOOTSTRAP_SERVERS": place.bootstrap_servers,
            "KAFKA_TOPIC_PREFIX": place.topics.prefix,
            "DATABASE_URL": place.database_url,
            "PROCESSOR_GROUP": place.group,
            "PROCESSOR_HOST": "127.0.0.1",
            "INGRESS_HOST": "127.0.0.1",
            "INGRESS_HMAC_SECRETS": f"test:{SECRET.decode()}",
            "INGRESS_SPOOL_DIR": str(tmp_path / "spool"),
        },
        tmp_path,
    )
    yield started
    started.close()
