"""Fixtures for whole programs on real servers."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import uvloop

from deploy.kafka.acls import Acl
from schemas.topics import TopicNames
from tests.support.infrastructure import Infrastructure
from tests.support.processes import Programs
from tests.support.secured import bindings_of, create_acls, grant_topics
from tests.support.verdict import Place


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """These tests' own clients have the programs' loop: they take less of the machine from the programs.

    Not those of chaos: of connections that a proxy cuts while a client opens them, this loop tells much later.
    """
    return {"loop": asyncio.new_event_loop if item.path.name == "test_chaos_slice.py" else uvloop.new_event_loop}


@pytest.fixture
def place(servers: Infrastructure, migrated_database_url: str, topics: TopicNames) -> Place:
    group = f"{topics.prefix}normalizer"
    if servers.secured is not None:
        grant_topics(servers.secured, prefix=topics.prefix, group=group)
        # Tests move other groups, too: rights that a team downstream gives the operators.
        others = [
            Acl("ringover-operator", "group", name, ("Read",), "") for name in (f"{topics.prefix}billing", "typo")
        ]
        create_acls(servers.secured, [binding for other in others for binding in bindings_of(other)])
    return Place(servers.kafka_bootstrap_servers, migrated_database_url, topics, group=group)


@pytest.fixture
def programs(servers: Infrastructure, place: Place, tmp_path: Path) -> Iterator[Programs]:
    identities = servers.secured.services(place.database_url) if servers.secured is not None else {}
    started = Programs(
        {
            "KAFKA_BOOTSTRAP_SERVERS": place.bootstrap_servers,
            "KAFKA_TOPIC_PREFIX": place.topics.prefix,
            "DATABASE_URL": place.database_url,
            "PROCESSOR_GROUP": place.group,
            "PROCESSOR_HOST": "127.0.0.1",
            "PROCESSOR_SESSION_TIMEOUT_SECONDS": "3",
            "INGRESS_HOST": "127.0.0.1",
            "INGRESS_HMAC_SECRETS": "test:a-secret-of-the-tests",
        },
        tmp_path,
        identities,
    )
    yield started
    started.close()
