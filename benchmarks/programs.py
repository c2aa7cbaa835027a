"""Starts our two programs and `ringover-ops` as operators do, with the defaults of production."""

import functools
import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.children import admin_answer, answers_ready, environment, program, running
from benchmarks.errors import BenchError
from benchmarks.servers import Servers
from benchmarks.workload import SECRET, SECRET_ID
from sandbox.devstack.ports import HOST, free_port
from sandbox.devstack.processes import Child
from schemas.topics import TopicNames


@dataclass(frozen=True, slots=True)
class Place:
    """Says where a pair of programs works: topics under a prefix, a database, a group."""

    servers: Servers
    prefix: str
    database_url: str = ""
    group: str = "bench"
    log_name: str = "bench"

    @property
    def topics(self) -> TopicNames:
        return TopicNames(self.prefix)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The topics that a processor writes."""
        return self.topics.call, self.topics.recording, self.topics.dead_letter

    @property
    def env(self) -> dict[str, str]:
        """What every command needs."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.servers.bootstrap_servers,
            "KAFKA_TOPIC_PREFIX": self.prefix,
            "DATABASE_URL": self.database_url or self.servers.database_url,
            "PROCESSOR_GROUP": self.group,
            "PROCESSOR_LOG_ID": self.log_name,
            "LOG_FORMAT": "json",
        }


@dataclass(frozen=True, slots=True)
class Ingress:
    """Is a running ingress."""

    child: Child
    port: int
    admin_port: int

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        lines = admin_answer(self.admin_port, "/metrics")[1].splitlines()
        return sum(float(line.split()[-1]) for line in lines if re.match(rf"{name}[ {{]", line))


@contextmanager
def ingress(place: Place, spool: Path) -> Iterator[Ingress]:
    """Run one ingress, with everything on."""
    port, admin_port = free_port(), free_port()
    env = place.env | {
        "INGRESS_HOST": HOST,
        "INGRESS_PORT": str(port),
        "INGRESS_ADMIN_PORT": str(admin_port),
        "INGRESS_HMAC_SECRETS": f"{SECRET_ID}:{SECRET}",
        "INGRESS_SPOOL_DIR": str(spool),
    }
    command = program("ringover-ingress")
    with running(place.servers, "ingress", command, env, lambda: answers_ready(admin_port)) as child:
        yield Ingress(child, port, admin_port)


@contextmanager
def processor(place: Place, name: str = "processor", *, wait: bool = False) -> Iterator[Child]:
    """Run one processor: from the moment at which its process starts, or once it is ready."""
    port = free_port()
    env = place.env | {"PROCESSOR_HOST": HOST, "PROCESSOR_ADMIN_PORT": str(port)}
    ready = functools.partial(answers_ready, port) if wait else None
    with running(place.servers, name, program("ringover-processor"), env, ready) as child:
        yield child


def ops(place: Place, *words: str, seconds: float = 120) -> Any:
    """What a command of `ringover-ops` printed with `-o json`.

    Raises:
        BenchError: it failed, or did not end in time.
    """
    command = [*program("ringover-ops"), *words, "-o", "json"]
    try:
        found = subprocess.run(
            command, env=environment(place.env), capture_output=True, text=True, check=False, timeout=seconds
        )
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"ringover-ops {words[0]} did not end within {seconds:g} s") from error
    if found.returncode != 0:
        raise BenchError(f"ringover-ops {' '.join(words)} failed: {found.stderr[-800:]}")
    return json.loads(found.stdout)


def make_topics(place: Place, partitions: int) -> None:
    """Make the registry's topics under the prefix."""
    ops(place, "topics", "apply", "--partitions", str(partitions))


def background(place: Place, *words: str) -> subprocess.Popen[bytes]:
    """Run a command of `ringover-ops` while it is watched; its output is dropped."""
    return subprocess.Popen(
        [*program("ringover-ops"), *words],
        env=environment(place.env) | {"PATH": os.environ.get("PATH", "")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
