"""Reads claims and conflicts from the state table; claims nothing."""

from collections.abc import Collection, Mapping, Sequence

from psycopg import AsyncConnection

from ops.calls.model import ClaimRow, Source
from processors.model import Owner
from schemas.identity import ClaimKey, EventType, claim_key

_FIND_LOG = "SELECT log_id FROM log WHERE name = %(name)s"
# The range holds all recordings of the call: their keys go on after a colon, and `;` is the next character.
_OF_CALL = """
SELECT idempotency_key, partition, owner_offset, owner_time, content_hash, records FROM claim
WHERE log_id = %(log_id)s AND (idempotency_key = ANY(%(keys)s)
    OR (idempotency_key >= %(recordings)s || ':' AND idempotency_key < %(recordings)s || ';'))
ORDER BY partition, owner_offset
"""
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


async def claims_of_call(connection: AsyncConnection, log_id: int | None, call_id: str) -> list[ClaimRow]:
    """Every claim of one call, in raw order."""
    keys: list[str] = [claim_key(EventType.CALL_STARTED, call_id), claim_key(EventType.CALL_ENDED, call_id)]
    recordings = claim_key(EventType.RECORDING_READY, call_id)
    cursor = await connection.execute(_OF_CALL, {"log_id": log_id, "keys": keys, "recordings": recordings})
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
