"""Keeps claims in PostgreSQL: each is one autocommit statement, so no lock outlives a frozen process."""

import asyncio
import functools
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib import resources
from itertools import repeat
from typing import LiteralString, cast

import orjson
import psycopg
from psycopg.rows import TupleRow
from psycopg_pool import PoolTimeout

from processors.model import Claim, Conflict, Owner, Owners
from processors.postgres_pool import Pool, session, why_no_connection
from runtime.errors import RefusedError, StateBehindError, StateUnavailableError
from schemas.identity import ClaimKey

SCHEMA_VERSION = 4  # the newest file in processors/migrations
FULL_SECONDS = 10.0  # after a claim met a full disk; it is tried again sooner
ANSWER_SECONDS = 10.0  # a check waits for a connection, then for statements that end after 5 s


def load_queries(text: str) -> dict[str, LiteralString]:
    """Read statements by name from a file of `-- name: x` sections."""
    parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)
    return {name: cast("LiteralString", body.strip()) for name, body in zip(parts[1::2], parts[2::2], strict=True)}


QUERIES = load_queries(resources.files("processors").joinpath("queries.sql").read_text(encoding="utf-8"))

Execute = Callable[[str, Mapping[str, object]], Awaitable[list[TupleRow]]]


class PostgresState:
    """Keeps the state table of one raw log; `partition()` gives the view that a pipeline works with."""

    def __init__(self, pool: Pool, log_name: str) -> None:
        self._pool = pool
        self._log_name = log_name
        self._log_id: int | None = None
        self._full: tuple[float, str] | None = None  # until when claims meet a full disk, and in which words

    async def check(self) -> None:
        """See that the schema is ours and that a write works, and learn the log's number.

        Raises:
            StateUnavailableError: PostgreSQL does not answer, or takes no writes.
            RefusedError: the schema or the server is not one that this code was written for.
        """
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._check()
        except TimeoutError as error:
            raise StateUnavailableError(f"PostgreSQL: no answer within {ANSWER_SECONDS:g} s") from error
        except StateUnavailableError as error:
            if isinstance(error.__cause__, psycopg.errors.UndefinedTable):
                raise RefusedError("the database has no schema yet: run `ringover-ops migrate`") from error
            if isinstance(error.__cause__, PoolTimeout):
                raise StateUnavailableError(f"PostgreSQL: {await why_no_connection(self._pool)}") from error
            raise

    async def _check(self) -> None:
        version = (await self.execute("schema_version", {}))[0][0] or 0
        if version < SCHEMA_VERSION:
            raise RefusedError(f"the database's schema is version {version}, run `ringover-ops migrate`")
        name = {"name": self._log_name}
        number = (await self.execute("lock_log", name) or await self.execute("add_log", name))[0][0]
        if self._log_id not in (None, number):
            raise RefusedError(
                f"{self._log_name} was log {self._log_id} in the database and is log {number} now: it is another "
                "database than the one that this process began with"
            )
        self._log_id = number
        if self._full is not None and time.monotonic() < self._full[0]:
            raise StateUnavailableError(self._full[1])  # no write this small needs more room

    def partition(self, partition: int) -> "PartitionState":
        """Give the claims of one partition; `check()` must have succeeded."""
        assert self._log_id is not None, "check() comes first"
        return PartitionState(self, self._log_id, partition)

    async def execute(self, query: str, parameters: Mapping[str, object]) -> list[TupleRow]:
        """Run one named statement; raises StateUnavailableError whatever PostgreSQL's objection is."""
        async with self._session() as connection:
            return await _run(connection, query, parameters)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Execute]:
        """Run statements, all or none; raises as `execute`. A process that freezes inside loses it after 5 s."""
        async with self._session() as connection, connection.transaction():
            yield functools.partial(_run, connection)

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[psycopg.AsyncConnection[TupleRow]]:
        try:
            async with session(self._pool) as connection:
                yield connection
        except StateUnavailableError as error:
            if isinstance(error.__cause__, psycopg.errors.DiskFull):
                self._full = (time.monotonic() + FULL_SECONDS, str(error))
            raise


class PartitionState:
    """Keeps the claims of one partition: see `ports.State`."""

    def __init__(self, state: PostgresState, log_id: int, partition: int) -> None:
        self._state = state
        self._key = {"log_id": log_id, "partition": partition}
        self._partition = partition

    async def progress(self) -> int | None:
        rows = await self._state.execute("progress", self._key)
        return rows[0][0] if rows else None

    async def open(self, next_offset: int) -> None:
        await self._state.execute("open_progress", {**self._key, "next_offset": next_offset})

    async def claim(
        self, first: int, next_offset: int, claims: Sequence[Claim], *, counted_until: int | None = None
    ) -> Owners:
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
        async with self._state.transaction() as execute:
            conflicts = conflicts_of(await self._claim(execute, first, next_offset, claims, counted_until))
            if conflicts:
                await self._note(execute, conflicts)

    async def note_conflicts(self, conflicts: Sequence[Conflict]) -> None:
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
