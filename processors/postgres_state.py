"""The state table on PostgreSQL: each claim is one autocommit statement, so no lock outlives a frozen process."""

import functools
import ipaddress
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib import resources
from itertools import repeat
from typing import Any, LiteralString, cast

import orjson
import psycopg
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from processors.model import Claim, Conflict, Owner, Owners
from runtime.errors import RefusedError, StateBehindError, StateUnavailableError
from runtime.logs import logger
from schemas.identity import ClaimKey

SCHEMA_VERSION = 4  # the newest file in processors/migrations
WAIT_FOR_CONNECTION_SECONDS = 5.0

# A statement that hangs must end before the group gives up on us; a session that dies must free its locks.
_SESSION = (
    "SET statement_timeout = '5s'; SET lock_timeout = '2s'; SET idle_in_transaction_session_timeout = '5s'; "
    "SET application_name = 'ringover-processor'"
)
CONNECTION: dict[str, Any] = {
    "connect_timeout": 5,
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 10,
    "autocommit": True,
}


def load_queries(text: str) -> dict[str, LiteralString]:
    """Statements by name, from a file of `-- name: x` sections."""
    parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)
    return {name: cast("LiteralString", body.strip()) for name, body in zip(parts[1::2], parts[2::2], strict=True)}


QUERIES = load_queries(resources.files("processors").joinpath("queries.sql").read_text(encoding="utf-8"))

log = logger(__name__)

Execute = Callable[[str, Mapping[str, object]], Awaitable[list[TupleRow]]]
Pool = AsyncConnectionPool[psycopg.AsyncConnection[TupleRow]]


def make_pool(database_url: str, *, connections: int) -> Pool:
    """A closed pool of autocommit connections; opening it does not wait for the database."""
    warned = False

    async def configure(connection: psycopg.AsyncConnection[Any]) -> None:
        nonlocal warned
        if not warned and exposed(connection.info.hostaddr, encrypted=bool(connection.pgconn.ssl_in_use)):
            warned = True
            log.warning("database.unencrypted", advice="sslmode=verify-full in DATABASE_URL")
        await connection.execute(_SESSION)

    return AsyncConnectionPool(
        database_url,
        min_size=1,
        max_size=connections,
        timeout=WAIT_FOR_CONNECTION_SECONDS,
        kwargs=dict(CONNECTION),
        configure=configure,
        open=False,
    )


def exposed(address: str, *, encrypted: bool) -> bool:
    """Whether others could read a connection; an empty address is a socket of this machine."""
    return not encrypted and bool(address) and not ipaddress.ip_address(address.partition("%")[0]).is_loopback


class PostgresState:
    """The state table of one raw log; `partition()` gives the view that a pipeline works with."""

    def __init__(self, pool: Pool, log_name: str) -> None:
        self._pool = pool
        self._log_name = log_name
        self._log_id: int | None = None

    async def check(self) -> None:
        """Ask for the schema's version, and learn the log's number.

        Raises:
            StateUnavailableError: PostgreSQL does not answer.
            RefusedError: the schema is not the one this code was written for.
        """
        try:
            rows = await self.execute("schema_version", {})
        except StateUnavailableError as error:
            if isinstance(error.__cause__, psycopg.errors.UndefinedTable):
                raise RefusedError("the database has no schema yet: run `ringover-ops migrate`") from error
            if isinstance(error.__cause__, PoolTimeout):
                raise StateUnavailableError(f"PostgreSQL: {await _why_no_connection(self._pool)}") from error
            raise
        version = rows[0][0] or 0
        if version < SCHEMA_VERSION:
            raise RefusedError(f"the database's schema is version {version}, run `ringover-ops migrate`")
        if self._log_id is None:
            name = {"name": self._log_name}
            rows = await self.execute("find_log", name) or await self.execute("add_log", name)
            self._log_id = rows[0][0]

    def partition(self, partition: int) -> "PartitionState":
        """The claims of one partition; `check()` must have succeeded."""
        assert self._log_id is not None, "check() comes first"
        return PartitionState(self, self._log_id, partition)

    async def execute(self, query: str, parameters: Mapping[str, object]) -> list[TupleRow]:
        """Run one named statement; raises StateUnavailableError whatever PostgreSQL's objection is."""
        async with _converted(), self._pool.connection() as connection:
            return await _run(connection, query, parameters)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Execute]:
        """Several statements, all or none; raises as `execute`. A process that freezes inside loses it after 5 s."""
        async with _converted(), self._pool.connection() as connection, connection.transaction():
            yield functools.partial(_run, connection)


class PartitionState:
    """See ports.State."""

    def __init__(self, state: PostgresState, log_id: int, partition: int) -> None:
        self._state = state
        self._key = {"log_id": log_id, "partition": partition}
        self._partition = partition

    async def progress(self) -> int | None:
        """See ports.State."""
        rows = await self._state.execute("progress", self._key)
        return rows[0][0] if rows else None

    async def open(self, next_offset: int) -> None:
        """See ports.State."""
        await self._state.execute("open_progress", {**self._key, "next_offset": next_offset})

    async def claim(
        self, first: int, next_offset: int, claims: Sequence[Claim], *, counted_until: int | None = None
    ) -> Owners:
        """See ports.State."""
        return await self._claim(self._state.execute, first, next_offset, claims, counted_until)

    async def reclaim(
        self,
        first: int,
        next_offset: int,
        claims: Sequence[Claim],
        conflicts_of: Callable[[Owners], Sequence[Conflict]],
        *,
        counted_until: int | None = None,
    ) -> None:
        """See ports.State."""
        async with self._state.transaction() as execute:
            conflicts = conflicts_of(await self._claim(execute, first, next_offset, claims, counted_until))
            if conflicts:
                await self._note(execute, conflicts)

    async def note_conflicts(self, conflicts: Sequence[Conflict]) -> None:
        """See ports.State."""
        await self._note(self._state.execute, conflicts)

    async def _claim(
        self, execute: Execute, first: int, next_offset: int, claims: Sequence[Claim], counted_until: int | None
    ) -> Owners:
        keys, offsets, times, hashes, records = zip(*claims, strict=True) if claims else ((), (), (), (), ())
        rows = await execute(
            "claim",
            {
                **self._key,
                "first": first,
                "next_offset": next_offset,
                "counted_until": first if counted_until is None else counted_until,
                "keys": "\n".join(keys),
                "offsets": _array(offsets),
                "times": _array(times),
                "hashes": _array(hashes),
                "records": _array(records),
            },
        )
        if not rows:
            raise StateBehindError(
                f"partition {self._partition}: PostgreSQL has not claimed everything before offset {first}"
            )
        owners: dict[ClaimKey, tuple[int, int, int]] = dict(
            zip(keys, zip(repeat(self._partition), offsets, hashes, strict=False), strict=True)
        )
        for key, partition, offset, number in rows:
            if key is None:
                assert number == len(claims), "each key is claimed, by us or by another record"
            else:
                owners[ClaimKey(key)] = Owner(partition, offset, number)
        return owners

    async def _note(self, execute: Execute, conflicts: Sequence[Conflict]) -> None:
        await execute(
            "note_conflicts",
            {
                **self._key,
                "keys": [conflict.key for conflict in conflicts],
                "offsets": [conflict.offset for conflict in conflicts],
                "times": [conflict.time_ms for conflict in conflicts],
            },
        )


def _array(numbers: Sequence[int]) -> str:
    """As PostgreSQL writes an array; orjson is the quickest to write numbers."""
    return f"{{{orjson.dumps(numbers).decode()[1:-1]}}}"


async def _run(
    connection: psycopg.AsyncConnection[TupleRow], query: str, parameters: Mapping[str, object]
) -> list[TupleRow]:
    cursor = await connection.execute(QUERIES[query], parameters)
    return await cursor.fetchall() if cursor.description else []


async def _why_no_connection(pool: Pool) -> str:
    """What a connection of our own is told: the pool only says that it has none in time."""
    assert isinstance(pool.conninfo, str), "make_pool gives the URL itself"
    try:
        async with await psycopg.AsyncConnection.connect(pool.conninfo, **CONNECTION):
            return "no connection in time"
    except psycopg.OperationalError as error:
        return str(error).split("\n", 1)[0].removeprefix("connection failed: ")


@asynccontextmanager
async def _converted() -> AsyncIterator[None]:
    try:
        yield
    except PoolTimeout as error:
        raise StateUnavailableError("PostgreSQL: no connection in time") from error
    except psycopg.Error as error:
        # The server's sentence names tables and limits; its DETAIL line would name keys.
        reason = error.diag.message_primary or type(error).__name__
        raise StateUnavailableError(f"PostgreSQL: {reason}") from error
