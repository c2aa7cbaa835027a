"""Reads claims and conflicts from the state table; claims nothing."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from psycopg import AsyncConnection
from psycopg.sql import SQL, Composable, Placeholder

from processors.model import Owner
from schemas.identity import ClaimKey, claim_keys_of_call


class Source(NamedTuple):
    """Where a raw record is."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class ClaimRow:
    """One claim as the state table has it. `records`: webhooks counted for its key, the owner included."""

    key: str
    partition: int
    offset: int
    time: datetime
    content_hash: int
    records: int


_FIND_LOG = "SELECT log_id FROM log WHERE name = %(name)s"
_OF_CALL = SQL("""
SELECT idempotency_key, partition, owner_offset, owner_time, content_hash, records FROM claim WHERE {}
ORDER BY partition, owner_offset
""")
_CONFLICTS = """
SELECT partition, record_offset FROM conflict WHERE log_id = %(log_id)s AND idempotency_key = ANY(%(keys)s)
"""
_OWNERS = """
SELECT idempotency_key, partition, owner_offset, content_hash FROM claim
WHERE log_id = %(log_id)s AND idempotency_key = ANY(%(keys)s)
"""


async def log_number(connection: AsyncConnection, name: str) -> int | None:
    """The number of a raw log in the state table; None when no processor has ever worked on it."""
    row = await (await connection.execute(_FIND_LOG, {"name": name})).fetchone()
    return None if row is None else int(row[0])


def of_call(log_id: int | None, call_id: str) -> tuple[Composable, dict[str, object]]:
    """The condition that selects what one call has in `claim` or `conflict`, and its parameters."""
    keys = claim_keys_of_call(call_id)
    parameters: dict[str, object] = {"log_id": log_id, "keys": list(keys.exact)}
    conditions: list[Composable] = [SQL("idempotency_key = ANY(%(keys)s)")]
    for number, (first, beyond) in enumerate(keys.ranges):
        parameters |= {f"first{number}": first, f"beyond{number}": beyond}
        bounds = Placeholder(f"first{number}"), Placeholder(f"beyond{number}")
        conditions.append(SQL("idempotency_key >= {} AND idempotency_key < {}").format(*bounds))
    return SQL("log_id = %(log_id)s AND ({})").format(SQL(" OR ").join(conditions)), parameters


async def claims_of_call(connection: AsyncConnection, log_id: int | None, call_id: str) -> list[ClaimRow]:
    """Every claim of one call, in raw order."""
    condition, parameters = of_call(log_id, call_id)
    cursor = await connection.execute(_OF_CALL.format(condition), parameters)
    return [ClaimRow(*row) for row in await cursor.fetchall()]


async def conflicts_of(connection: AsyncConnection, log_id: int | None, keys: Sequence[str]) -> frozenset[Source]:
    """The noted conflicts with these keys, in whatever partition."""
    parameters = {"log_id": log_id, "keys": list(keys)}
    return frozenset(Source(*row) for row in await (await connection.execute(_CONFLICTS, parameters)).fetchall())


async def owners_of(
    connection: AsyncConnection, log_id: int | None, keys: Collection[ClaimKey]
) -> Mapping[ClaimKey, Owner]:
    """Who owns these keys, as far as they are claimed."""
    if not keys or log_id is None:
        return {}
    cursor = await connection.execute(_OWNERS, {"log_id": log_id, "keys": list(keys)})
    return {
        ClaimKey(key): Owner(partition, offset, content) for key, partition, offset, content in await cursor.fetchall()
    }
