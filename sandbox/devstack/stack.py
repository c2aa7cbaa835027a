"""Runs Kafka and PostgreSQL together, on one data directory: the devstack as a library.

with Devstack(DevstackConfig()) as stack:
    subprocess.run(command, env=os.environ | stack.env())
"""

import threading
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from sandbox.devstack.datadir import lock_data_dir, open_data_dir
from sandbox.devstack.errors import DevstackError, disk_errors
from sandbox.devstack.jars import ensure_jars
from sandbox.devstack.kafka import PLAIN as PLAIN_KAFKA
from sandbox.devstack.kafka import KafkaExtra, KafkaServer
from sandbox.devstack.postgres import PLAIN as PLAIN_POSTGRES
from sandbox.devstack.postgres import PostgresExtra, PostgresServer
from sandbox.devstack.processes import Surroundings

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DevstackConfig:
    """Says what to run and where; a port of 0 means any free one.

    Attributes:
        data_dir: is kept and used again by the next start; None means a temporary one.
        kafka_advertised_port: where clients shall connect instead, for a proxy before the broker.
        kafka_extra, postgres_extra: what the servers have beyond plain ones.
    """

    data_dir: Path | None = None
    kafka_port: int = 0
    postgres_port: int = 0
    kafka: bool = True
    postgres: bool = True
    kafka_advertised_port: int | None = None
    kafka_extra: KafkaExtra = PLAIN_KAFKA
    postgres_extra: PostgresExtra = PLAIN_POSTGRES


class Devstack:
    """Runs both servers while the context is open; `kafka` and `postgres` can be stopped one by one."""

    def __init__(self, config: DevstackConfig | None = None, *, abort: threading.Event | None = None) -> None:
        """`abort` may be set from a signal handler or another thread: starting then ends in `AbortedError`."""
        self.config = config or DevstackConfig()
        self._abort = abort or threading.Event()
        self._failed = threading.Event()
        self._kafka: KafkaServer | None = None
        self._postgres: PostgresServer | None = None
        self._data_dir: Path | None = None
        self._cleanup = ExitStack()

    @property
    def data_dir(self) -> Path:
        return _running(self._data_dir)

    @property
    def kafka(self) -> KafkaServer:
        return _running(self._kafka)

    @property
    def postgres(self) -> PostgresServer:
        return _running(self._postgres)

    @property
    def kafka_bootstrap_servers(self) -> str:
        """`host:port` of the broker, as clients shall use it."""
        return self.kafka.bootstrap_servers

    @property
    def database_url(self) -> str:
        return self.postgres.database_url

    def env(self) -> dict[str, str]:
        """The environment variables that point the project's processes here."""
        env = {}
        if self._kafka is not None:
            env["KAFKA_BOOTSTRAP_SERVERS"] = self._kafka.bootstrap_servers
        if self._postgres is not None:
            env["DATABASE_URL"] = self._postgres.database_url
        return env

    def dead(self) -> DevstackError | None:
        """The error of a server that does not run, if any: for who watches that none ends by itself."""
        dead = (server for server in self._servers() if server.pid is None)
        return next((server.died() for server in dead), None)

    def __enter__(self) -> Self:
        """Starts both side by side; returns when both answer.

        Raises:
            DevstackError: whatever the reason; nothing is left running.
        """
        self._failed.clear()
        jars = ensure_jars(self._abort) if self.config.kafka else []
        with ExitStack() as stack:
            stack.callback(self._forget)
            self._data_dir = open_data_dir(self.config.data_dir, stack)
            self._prepare(jars, self._data_dir, lock_data_dir(self._data_dir, stack))
            stack.callback(self._stop)
            self._start()
            self._cleanup = stack.pop_all()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._cleanup.close()

    def _servers(self) -> list[KafkaServer | PostgresServer]:
        return [server for server in (self._kafka, self._postgres) if server is not None]

    def _prepare(self, jars: list[Path], data_dir: Path, lock: int) -> None:
        log_dir = data_dir / "logs"
        with disk_errors(data_dir):
            log_dir.mkdir(exist_ok=True)
        around = Surroundings(log_dir=log_dir, lock_descriptor=lock, aborted=self._aborted)
        config = self.config
        if config.kafka:
            self._kafka = KafkaServer(
                data_dir / "kafka",
                jars,
                around,
                port=config.kafka_port,
                advertised_port=config.kafka_advertised_port,
                extra=config.kafka_extra,
            )
        if config.postgres:
            self._postgres = PostgresServer(
                data_dir / "postgres", around, port=config.postgres_port, extra=config.postgres_extra
            )

    def _start(self) -> None:
        with ThreadPoolExecutor() as pool:
            futures = [pool.submit(server.start) for server in self._servers()]
            done, pending = wait(futures, return_when=FIRST_EXCEPTION)
            if pending:
                self._failed.set()  # one has failed: do not wait for the other
            for future in done:
                future.result()

    def _stop(self) -> None:
        with ThreadPoolExecutor() as pool:
            for future in [pool.submit(server.stop) for server in self._servers()]:
                future.result()

    def _aborted(self) -> bool:
        return self._abort.is_set() or self._failed.is_set()

    def _forget(self) -> None:
        self._kafka = self._postgres = self._data_dir = None


def _running(value: T | None) -> T:
    if value is None:
        raise DevstackError("the devstack is not running, or runs without this server")
    return value
