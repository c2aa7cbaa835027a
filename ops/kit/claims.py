"""Runs the commands' statements (queries.sql) on the state table, and reads claims and conflicts; claims nothing."""

from collections.abc import Collection, Mapping, Sequence
from importlib import resources
from typing import TypeVar

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from ops.calls.model import ClaimRow, Source
from processors.model import Owner
from processors.postgres_state import load_queries
from schemas.identity import EventType, claim_key

QUERIES = load_queries(resources.files("ops.kit").joinpath("queries.sql").read_text(encoding="utf-8"))
Key = TypeVar("Key", bound=str)


async def query(connection: AsyncConnection, statement: str, /, **parameters: object) -> list[TupleRow]:
    """The rows of a named statement."""
    return await (await connection.execute(QUERIES[statement], parameters)).fetchall()


async def rows_changed(connection: AsyncConnection, statement: str, /, **parameters: object) -> int:
    """How many rows a named statement has changed."""
    return (await connection.execute(QUERIES[statement], parameters)).rowcount


async def log_number(connection: AsyncConnection, name: str) -> int | None:
    """The number of a raw log in the state table; None when no processor has ever worked on it."""
    rows = await query(connection, "find_log", name=name)
    return int(rows[0][0]) if rows else None


async def progress_of(connection: AsyncConnection, log_name: str) -> dict[int, int]:
    """How far each partition of a raw log was claimed, as the offset after the last claimed record."""
    return dict(await query(connection, "progress_of_log", name=log_name))


async def claims_of_call(connection: AsyncConnection, log_id: int | None, call_id: str) -> list[ClaimRow]:
    """Every claim of one call, in raw order."""
    return [ClaimRow(*row) for row in await query(connection, "claims_of_call", **_of_call(log_id, call_id))]


async def conflicts_of_call(connection: AsyncConnection, log_id: int | None, call_id: str) -> int:
    """How many conflicts of a call there are, also of claims that are gone."""
    return len(await query(connection, "conflicts_of_call", **_of_call(log_id, call_id)))


async def erase_conflicts_of_call(connection: AsyncConnection, log_id: int | None, call_id: str) -> int:
    """Delete the conflicts of a call; how many there were."""
    return await rows_changed(connection, "erase_conflicts_of_call", **_of_call(log_id, call_id))


def _of_call(log_id: int | None, call_id: str) -> dict[str, object]:
    keys: list[str] = [claim_key(EventType.CALL_STARTED, call_id), claim_key(EventType.CALL_ENDED, call_id)]
    recordings = claim_key(EventType.RECORDING_READY, call_id)
    return {"log_id": log_id, "keys": keys, "recordings": recordings}


async def conflicts_of(connection: AsyncConnection, log_id: int | None, keys: Sequence[str]) -> frozenset[Source]:
    """The noted conflicts with these keys, in whatever partition."""
    return frozenset(Source(*row) for row in await query(connection, "conflicts_of", log_id=log_id, keys=list(keys)))


async def owners_of(connection: AsyncConnection, log_id: int | None, keys: Collection[Key]) -> Mapping[Key, Owner]:
    """Who owns these keys, as far as they are claimed."""
    if not keys or log_id is None:
        return {}
    rows = await query(connection, "owners_of", log_id=log_id, keys=list(keys))
    return {key: Owner(*owner) for key, *owner in rows}
