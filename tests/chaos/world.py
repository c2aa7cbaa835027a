"""The system under test as a world that can be broken: servers, programs, proxies, disks, and the way back."""

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from schemas.topics import TopicNames
from tests.support.verdict import Place


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


@dataclass(frozen=True, slots=True)
class Exit:
    """One program or server that ended; `code` is negative for a signal, `at` is time.time()."""

    name: str
    code: int
    at: float


class World:
    """Runs while its context is open: everything started, topics created, database migrated, every program ready.

    A supervisor starts whatever ends again, whatever its exit code, unless a fault holds it down.

    Attributes:
        bootstrap_servers: the brokers' own listener; passes no proxy. For the checker.
        database_url: PostgreSQL itself; passes no proxy. For the checker.
        ingress_url: `http://127.0.0.1:port`, the same over restarts of the ingress.
        logs: directory of all logs, one file per incarnation.
        exits: everything that ended so far, in order.
    """

    bootstrap_servers: str
    database_url: str
    topics: TopicNames
    group: str
    ingress_url: str
    logs: Path
    exits: list[Exit]

    def __init__(self, config: WorldConfig) -> None:
        self.config = config

    @property
    def place(self) -> Place:
        """The same addresses in the form that `tests.support.verdict` takes."""
        return Place(self.bootstrap_servers, self.database_url, self.topics, self.group)

    def admin_urls(self) -> dict[str, str]:
        """`http://127.0.0.1:port` of each program's admin port by its name: `ingress`, `processor-0`, …; they stay."""
        raise NotImplementedError

    async def heal(self) -> None:
        """Undo every fault and wait until everything runs and every program answers ready. Idempotent.

        Raises:
            AssertionError: something does not become ready; the message says what and why.
        """
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        raise NotImplementedError

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        raise NotImplementedError
