"""Runs a real PostgreSQL as a child process, as durable as in production."""

import contextlib
import os
import pwd
import shutil
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlencode

import psycopg
from psycopg import sql

from sandbox.devstack import ports, wheels
from sandbox.devstack.errors import DevstackError, UnsupportedPlatformError, disk_errors
from sandbox.devstack.processes import POLL_SECONDS, Child, Surroundings, User, is_alive

NAME = "ringover"  # of the database and of its owner
UNPRIVILEGED_USER = "nobody"  # initdb wants an entry in the user database
START_SECONDS = 60.0  # a loaded CI machine, or crash recovery; it usually takes 0.2
STOP_SECONDS = 10.0
ATTEMPTS = 3  # a chosen free port may be taken before the server binds it

INITDB_OPTIONS = ("-U", NAME, "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-instructions")
SETTINGS = {
    "listen_addresses": ports.HOST,
    "unix_socket_directories": "",  # off: their paths are limited to 107 bytes
    "max_connections": "100",
    "fsync": "on",
    "synchronous_commit": "on",
}


@dataclass(frozen=True, slots=True)
class PostgresExtra:
    """Says what a server has beyond the plain one.

    Attributes:
        settings: put over ours.
        initdb_options: more words for `initdb`; the last of two that contradict each other counts.
        password: of the owner, if one is asked for.
        connection: further words of libpq for the owner's connections, such as `sslmode`.
        programs: a directory with another `postgres` and `initdb`: the wheel's are built without TLS.
    """

    settings: Mapping[str, str] = field(default_factory=dict)
    initdb_options: tuple[str, ...] = ()
    password: str | None = None
    connection: Mapping[str, str] = field(default_factory=dict)
    programs: Path | None = None


PLAIN = PostgresExtra()


class PostgresServer:
    """Starts, stops and kills the server as often as needed; it keeps its port and its data."""

    def __init__(self, directory: Path, surroundings: Surroundings, *, port: int, extra: PostgresExtra = PLAIN) -> None:
        self.port = port
        self._extra = extra
        self._directory = directory
        self._data = directory / "data"
        self._user = _unprivileged(directory)
        self._initdb = Child("initdb", surroundings, death_signal=signal.SIGKILL, user=self._user)
        # SIGQUIT is immediate shutdown: the postmaster takes its backends with it.
        self._child = Child("postgres", surroundings, death_signal=signal.SIGQUIT, user=self._user)

    @property
    def database_url(self) -> str:
        password = f":{quote(self._extra.password, safe='')}" if self._extra.password else ""
        words = f"?{urlencode(self._extra.connection)}" if self._extra.connection else ""
        return f"postgresql://{NAME}{password}@{ports.HOST}:{self.port}/{NAME}{words}"

    @property
    def pid(self) -> int | None:
        return self._child.pid

    @property
    def exit_code(self) -> int | None:
        """How the postmaster ended, negative for a signal; None while it runs."""
        return self._child.wait(0)

    def start(self) -> None:
        """Starts the server and returns once it answers a query and the database exists.

        Raises:
            PortTakenError, ServerDiedError, DiskFullError, AbortedError: with the log's tail if any.
        """
        wanted = self.port
        self._initialize()
        for attempt in range(1, ATTEMPTS + 1):
            self.port = ports.claim_port(wanted, server="PostgreSQL")
            self._child.start(self._command(), env=_environment())
            self._child.poll_until(lambda: self.pid is None or self._answers(), START_SECONDS)
            if self.pid is not None:
                return self._create_database()
            if "Address already in use" not in self._child.log_tail() or attempt == ATTEMPTS:
                break
        raise self._child.died()

    def stop(self) -> None:
        """Shuts down fast: sessions are ended, data are flushed."""
        self._child.stop(signal.SIGINT, STOP_SECONDS)

    def stop_immediately(self) -> None:
        """Shuts down at once: no checkpoint, so the next start recovers from the write-ahead log."""
        self._child.stop(signal.SIGQUIT, STOP_SECONDS)

    def kill(self) -> None:
        """Ends the postmaster and its backends as a crash of the machine would."""
        family = [] if self.pid is None else children_of(self.pid)
        self._child.stop(signal.SIGKILL, STOP_SECONDS)
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        # A new server refuses the data directory while a backend is still attached to the old one's memory.
        deadline = time.monotonic() + STOP_SECONDS
        while any(map(is_alive, family)) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)

    def died(self) -> DevstackError:
        return self._child.died()

    def _initialize(self) -> None:
        if self._data.exists():
            return
        new = self._directory / "data.new"
        with disk_errors(self._directory):
            self._directory.mkdir(parents=True, exist_ok=True)
            os.chown(self._directory, self._user.uid, self._user.gid)
            if new.exists():
                shutil.rmtree(new)  # an earlier attempt was interrupted
        self._initdb.start(
            [self._program("initdb"), "-D", str(new), *INITDB_OPTIONS, *self._extra.initdb_options], env=_environment()
        )
        self._initdb.finish(START_SECONDS)
        new.rename(self._data)

    def _command(self) -> list[str]:
        settings = [
            item for name, value in {**SETTINGS, **self._extra.settings}.items() for item in ("-c", f"{name}={value}")
        ]
        return [self._program("postgres"), "-D", str(self._data), "-p", str(self.port), *settings]

    def _program(self, name: str) -> str:
        return str(self._extra.programs / name if self._extra.programs else wheels.postgres_program(name))

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(self.database_url, dbname="postgres", connect_timeout=2, autocommit=True)

    def _answers(self) -> bool:
        try:
            with self._connect() as connection:
                return connection.execute("select 1").fetchone() == (1,)
        except psycopg.OperationalError:
            return False

    def _create_database(self) -> None:
        with self._connect() as connection:
            if connection.execute("select from pg_database where datname = %s", (NAME,)).fetchone() is None:
                connection.execute(sql.SQL("create database {}").format(sql.Identifier(NAME)))


def _environment() -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C"}


def _unprivileged(directory: Path) -> User:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return User()
    try:
        entry = pwd.getpwnam(UNPRIVILEGED_USER)
    except KeyError as exc:
        raise UnsupportedPlatformError(
            f"PostgreSQL refuses to run as root, and there is no user {UNPRIVILEGED_USER}",
            hint="run as an ordinary user",
        ) from exc
    return User(entry.pw_uid, entry.pw_gid, must_reach=directory)


def children_of(pid: int) -> list[int]:
    """The process ids of a process's children."""
    with contextlib.suppress(OSError):  # it has just died by itself
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]
    return []
