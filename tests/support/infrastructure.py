"""A real Kafka and a real PostgreSQL for the tests, in this order: the environment, Docker, the devstack.

Missing infrastructure is an error, never a skip. With TEST_SECURED=1 they are those of `tests.support.secured`, and
every program has its own identity, with the rights of `deploy/` and no others.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from sandbox.devstack.stack import Devstack, DevstackConfig
from tests.support.secured import ADMIN, Secured, secured

KAFKA_IMAGE = os.environ.get("TEST_KAFKA_IMAGE", "apache/kafka:4.4.0")
POSTGRES_IMAGE = os.environ.get("TEST_POSTGRES_IMAGE", "postgres:18")


@dataclass(frozen=True, slots=True)
class Infrastructure:
    """Where the servers are, and who may do what there if that is limited; addresses are the administrator's."""

    kafka_bootstrap_servers: str
    database_url: str
    secured: Secured | None = None


@contextmanager
def infrastructure() -> Iterator[Infrastructure]:
    """The servers for a whole test session."""
    kafka, database = os.environ.get("KAFKA_BOOTSTRAP_SERVERS"), os.environ.get("DATABASE_URL")
    if os.environ.get("TEST_SECURED") == "1":
        with secured_infrastructure() as found:
            yield found
    elif kafka and database:
        yield Infrastructure(kafka, database)
    elif _docker_answers():
        with _containers() as found:
            yield found
    else:
        with Devstack(DevstackConfig()) as stack:
            yield Infrastructure(stack.kafka_bootstrap_servers, stack.database_url)


@contextmanager
def secured_infrastructure() -> Iterator[Infrastructure]:
    """Secured servers; meanwhile the KAFKA_* variables of the tests' own clients are the administrator's."""
    with secured() as servers, pytest.MonkeyPatch.context() as patch:
        for name, value in servers.by_certificate(ADMIN).items():
            patch.setenv(name, value)
        yield Infrastructure(servers.stack.kafka_bootstrap_servers, servers.stack.database_url, servers)


def _docker_answers() -> bool:
    docker = shutil.which("docker")
    if docker is None:
        return False
    return subprocess.run([docker, "info"], check=False, capture_output=True, timeout=20).returncode == 0


@contextmanager
def _containers() -> Iterator[Infrastructure]:
    """Kafka and PostgreSQL by testcontainers, on ports of the host that are free now."""
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - only with Docker
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy  # noqa: PLC0415

    from sandbox.devstack.ports import free_port  # noqa: PLC0415

    port = free_port()
    # The image takes no default once any variable is given, so all that matters is here. The port is the same inside:
    # the broker itself goes by what it advertises, to mark the end of a transaction.
    kafka = (
        DockerContainer(KAFKA_IMAGE)
        .with_bind_ports(port, port)
        .with_env("KAFKA_NODE_ID", "1")
        .with_env("KAFKA_PROCESS_ROLES", "broker,controller")
        .with_env("KAFKA_LISTENERS", f"PLAINTEXT://:{port},CONTROLLER://:9093")
        .with_env("KAFKA_ADVERTISED_LISTENERS", f"PLAINTEXT://127.0.0.1:{port}")
        .with_env("KAFKA_CONTROLLER_LISTENER_NAMES", "CONTROLLER")
        .with_env("KAFKA_LISTENER_SECURITY_PROTOCOL_MAP", "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT")
        .with_env("KAFKA_CONTROLLER_QUORUM_VOTERS", "1@localhost:9093")
        .with_env("KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR", "1")
        .with_env("KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR", "1")
        .with_env("KAFKA_TRANSACTION_STATE_LOG_MIN_ISR", "1")
        .with_env("KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS", "0")
        .with_env("KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS", "1000")
        .with_env("KAFKA_AUTO_CREATE_TOPICS_ENABLE", "false")
        .waiting_for(LogMessageWaitStrategy("Kafka Server started"))
    )
    postgres = (
        DockerContainer(POSTGRES_IMAGE)
        .with_exposed_ports(5432)
        .with_env("POSTGRES_PASSWORD", "test")
        .with_env("POSTGRES_DB", "ringover")
        .waiting_for(LogMessageWaitStrategy("database system is ready to accept connections", times=2))
    )
    with kafka, postgres:
        url = f"postgresql://postgres:test@127.0.0.1:{postgres.get_exposed_port(5432)}/ringover"
        yield Infrastructure(f"127.0.0.1:{port}", url)
