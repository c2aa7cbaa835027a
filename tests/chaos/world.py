"""The system under test as a world that can be broken: servers, programs, proxies, disks, and the way back."""

import asyncio
import signal
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

from ops.migrate.run import migrate, packaged_migrations
from ops.topics.run import apply_topics
from runtime.settings import KafkaSettings
from sandbox.devstack.datadir import lock_data_dir
from sandbox.devstack.jars import ensure_jars
from sandbox.devstack.ports import HOST
from sandbox.devstack.processes import Surroundings
from schemas.topics import TopicNames
from tests.chaos.cluster import make_brokers
from tests.chaos.database import Database
from tests.chaos.disk import Disk, make_disk, unmount_abandoned
from tests.chaos.health import brokers_unwell, wait_for_health
from tests.chaos.programs import Ways, ingress, processor
from tests.chaos.proxy import TRANSPARENT, Proxy
from tests.chaos.supervisor import Exit, Supervisor
from tests.chaos.units import Program, Unit
from tests.support.ports import stable_port
from tests.support.verdict import Place
from tests.support.waiting import until

GROUP = "ringover-normalizer"
SERVER_DISK_MEGABYTES = 2048
SPOOL_DISK_MEGABYTES = 256
LIMIT_WAL = ("ALTER SYSTEM SET max_wal_size = '256MB'", "SELECT pg_reload_conf()")  # the disk is small
HEAL_SECONDS = 180.0
START_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class WorldConfig:
    """What to run.

    Attributes:
        directory: gets data, logs and spool; the caller's to remove. Disks inside it are small tmpfs mounts where
            mounting is allowed, and are unmounted at the end.
        brokers: 1 or 3; with 3 every topic has three replicas and min.insync.replicas 2.
        spool: give the ingress a spool directory.
    """

    directory: Path
    brokers: int = 1
    partitions: int = 12
    processors: int = 2
    spool: bool = True


class World:
    """Runs while its context is open: everything started, topics created, database migrated, every program ready.

    A supervisor starts whatever ends again, whatever its exit code, unless a fault holds it down.

    Attributes:
        bootstrap_servers: the brokers' own listener; passes no proxy. For the checker.
        database_url: PostgreSQL itself; passes no proxy. For the checker.
        ingress_url: `http://127.0.0.1:port`, the same over restarts of the ingress.
        logs: directory of all logs, one file per incarnation.
        exits: everything that ended so far, in order.
        notes: time.time() and a sentence, from the faults.
        links: the ways between a program and a server by name (`ingress-kafka`, `processor-0-kafka`,
            `processor-0-postgres`, …), each a proxy per server.
        disks: by name: `spool`, `postgres`, `kafka-1`, …
        visitor: a processor that does not run but when a fault starts it.
    """

    def __init__(self, config: WorldConfig) -> None:
        self.config = config
        self.topics = TopicNames()
        self.group = GROUP
        self.logs = config.directory / "logs"
        self.exits: list[Exit] = []
        self.notes: list[tuple[float, str]] = []
        self.supervisor = Supervisor(self.exits)
        self.disks: dict[str, Disk] = {}
        self.links: dict[str, list[Proxy]] = {}
        self._stack = AsyncExitStack()

    @property
    def place(self) -> Place:
        """The same addresses in the form that `tests.support.verdict` takes."""
        return Place(self.bootstrap_servers, self.database_url, self.topics, self.group)

    @property
    def programs(self) -> Sequence[Program]:
        """The ingress and the processors that always run."""
        return [self.ingress, *self.processors]

    @property
    def servers(self) -> Sequence[Unit]:
        """The brokers and PostgreSQL."""
        return [*self.brokers, self.database]

    @property
    def units(self) -> Sequence[Unit]:
        """Everything that always runs."""
        return [*self.servers, *self.programs]

    def admin_urls(self) -> dict[str, str]:
        """`http://127.0.0.1:port` of each program's admin port by its name: `ingress`, `processor-0`, …; they stay."""
        return {program.name: f"http://{HOST}:{program.admin_port}" for program in self.programs}

    def note(self, text: str) -> None:
        """Keep a word for the report: what a fault could not do, or how far it went."""
        self.notes.append((time.time(), text))

    async def brokers_complete(self, seconds: float) -> None:
        """Wait until every broker answers and every partition has a leader and all its replicas in sync."""

        async def complete() -> bool:
            return not await brokers_unwell(self.brokers)

        await until(complete, seconds=seconds, what="the brokers complete")

    async def heal(self) -> None:
        """Undo every fault and wait until everything runs and every program answers ready. Idempotent.

        Raises:
            AssertionError: something does not become ready; the message says what and why.
        """
        for proxies in self.links.values():
            for proxy in proxies:
                proxy.set(TRANSPARENT)
        for disk in self.disks.values():
            disk.free()
        for unit in self.units:
            unit.send(signal.SIGCONT)
        for program in self.programs:
            program.next = None
        await asyncio.to_thread(self.visitor.end)
        await wait_for_health(self, HEAL_SECONDS)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._open(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _open(self, stack: AsyncExitStack) -> None:
        directory = self.config.directory
        self.logs.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o711)  # PostgreSQL runs as another user than root and must get through
        await asyncio.to_thread(unmount_abandoned)
        lock = lock_data_dir(directory, stack.enter_context(ExitStack()))
        around = Surroundings(log_dir=self.logs, lock_descriptor=lock, aborted=lambda: False)
        self._make_disks(stack)
        self._make_servers(around)
        await self._open_links(stack)
        self._make_programs(around)
        stack.push_async_callback(self._stop)
        await self._start_servers()
        for program in self.programs:
            await self.supervisor.start(program)
        await wait_for_health(self, START_SECONDS)

    def _make_disks(self, stack: AsyncExitStack) -> None:
        servers = ["postgres", *(f"kafka-{number}" for number in range(1, self.config.brokers + 1))]
        sizes = dict.fromkeys(servers, SERVER_DISK_MEGABYTES) | {"spool": SPOOL_DISK_MEGABYTES}
        for name, megabytes in sizes.items():
            disk = self.disks[name] = make_disk(self.config.directory / "disks" / name, megabytes)
            stack.callback(disk.unmount)

    def _make_servers(self, around: Surroundings) -> None:
        self.database = Database(self.disks["postgres"].path, around, port=stable_port())
        self.database_url = self.database.url
        clients = ["ingress", *(f"processor-{number}" for number in range(self.config.processors))]
        directories = [self.disks[f"kafka-{number}"].path for number in range(1, self.config.brokers + 1)]
        self.brokers = make_brokers(clients, directories, ensure_jars(), around)
        self.bootstrap_servers = ",".join(broker.address for broker in self.brokers)

    async def _open_links(self, stack: AsyncExitStack) -> None:
        for broker in self.brokers:
            for client, listener in broker.node.clients.items():
                name = f"{client}-kafka"
                proxy = Proxy(f"{client}-{broker.name}", HOST, listener.advertised_port, listener.port)
                self.links.setdefault(name, []).append(await stack.enter_async_context(proxy))
        for number in range(self.config.processors):
            name = f"processor-{number}-postgres"
            proxy = Proxy(name, HOST, stable_port(), self.database.port)
            self.links[name] = [await stack.enter_async_context(proxy)]

    def _make_programs(self, around: Surroundings) -> None:
        port = stable_port()
        self.ingress_url = f"http://{HOST}:{port}"
        spool = self.disks["spool"].path if self.config.spool else None
        self.ingress = ingress(Ways(self._bootstrap("ingress")), port, around, spool)
        self.processors = [
            processor(name, Ways(self._bootstrap(name), self._database_url(name)), self.group, around)
            for name in (f"processor-{number}" for number in range(self.config.processors))
        ]
        self.visitor = processor("visitor", Ways(self.bootstrap_servers, self.database_url), self.group, around)

    def _bootstrap(self, client: str) -> str:
        return ",".join(f"{HOST}:{proxy.port}" for proxy in self.links[f"{client}-kafka"])

    def _database_url(self, client: str) -> str:
        (proxy,) = self.links[f"{client}-postgres"]
        return self.database_url.replace(f":{self.database.port}/", f":{proxy.port}/")

    async def _start_servers(self) -> None:
        async with asyncio.TaskGroup() as group:
            for unit in self.servers:
                group.create_task(self.supervisor.start(unit))

        await self.brokers_complete(START_SECONDS)
        await asyncio.to_thread(self._limit_wal)
        await asyncio.to_thread(migrate, self.database_url, packaged_migrations())
        await apply_topics(
            KafkaSettings(kafka_bootstrap_servers=self.bootstrap_servers), partitions=self.config.partitions
        )

    def _limit_wal(self) -> None:
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            for statement in LIMIT_WAL:
                connection.execute(statement)

    async def _stop(self) -> None:
        """End everything; what is frozen could not."""
        await self.supervisor.close()
        for unit in [*self.programs, self.visitor, *self.servers]:
            await asyncio.to_thread(unit.end)
