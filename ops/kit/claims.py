"""Runs the commands' statements (queries.sql) on the state table, and reads claims and conflicts; claims nothing."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from typing import NamedTuple, TypeVar

from psycopg import AsyncConnection, AsyncCursor
from psycopg.rows import TupleRow
from psycopg.sql import SQL, Composable, Placeholder

from processors.model import Owner
from processors.postgres_state import load_queries
from schemas.identity import claim_keys_of_call

QUERIES = load_queries(resources.files("ops.kit").joinpath("queries.sql").read_text(encoding="utf-8"))
Key = TypeVar("Key", bound=str)


class Source(NamedTuple):
    """Says where a raw record is."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class ClaimRow:
    """Holds one claim as the state table has it. `records`: webhooks counted for its key, the owner included."""

    key: str
    partition: int
    offset: int
    time: datetime
    content_hash: int
    records: int


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


def of_call(call_id: str) -> tuple[Composable, dict[str, object]]:
    """The condition that selects a call's keys in `claim` or `conflict`, and its parameters."""
    keys = claim_keys_of_call(call_id)
    parameters: dict[str, object] = {"keys": list(keys.exact)}
    conditions: list[Composable] = [SQL("idempotency_key = ANY(%(keys)s)")]
    for number, (first, beyond) in enumerate(keys.ranges):
        parameters |= {f"first{number}": first, f"beyond{number}": beyond}
        bounds = Placeholder(f"first{number}"), Placeholder(f"beyond{number}")
        conditions.append(SQL("idempotency_key >= {} AND idempotency_key < {}").format(*bounds))
    return SQL(" OR ").join(conditions), parameters


async def claims_of_call(connection: AsyncConnection, log_id: int | None, call_id: str) -> list[ClaimRow]:
    """Every claim of one call, in raw order."""
    cursor = await _of_call(connection, "claims_of_call", log_id, call_id)
    return [ClaimRow(*row) for row in await cursor.fetchall()]


async def conflicts_of_call(connection: AsyncConnection, log_id: int | None, call_id: str) -> int:
    """How many conflicts of a call there are, also of claims that are gone."""
    return (await _of_call(connection, "conflicts_of_call", log_id, call_id)).rowcount


async def erase_conflicts_of_call(connection: AsyncConnection, log_id: int | None, call_id: str) -> int:
    """Delete the conflicts of a call; how many there were."""
    return (await _of_call(connection, "erase_conflicts_of_call", log_id, call_id)).rowcount


async def _of_call(
    connection: AsyncConnection, statement: str, log_id: int | None, call_id: str
) -> AsyncCursor[TupleRow]:
    condition, parameters = of_call(call_id)
    composed = SQL(QUERIES[statement]).format(of_call=condition)
    return await connection.execute(composed, {"log_id": log_id, **parameters})


async def conflicts_of(connection: AsyncConnection, log_id: int | None, keys: Sequence[str]) -> frozenset[Source]:
    """The noted conflicts with these keys, in whatever partition."""
    return frozenset(Source(*row) for row in await query(connection, "conflicts_of", log_id=log_id, keys=list(keys)))


async def owners_of(connection: AsyncConnection, log_id: int | None, keys: Collection[Key]) -> Mapping[Key, Owner]:
    """Who owns these keys, as far as they are claimed."""
    if not keys or log_id is None:
        return {}
    rows = await query(connection, "owners_of", log_id=log_id, keys=list(keys))
    return {key: Owner(*owner) for key, *owner in rows}
