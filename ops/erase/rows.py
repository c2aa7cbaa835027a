"""The rows of PostgreSQL: what goes, and the requests that are not complete yet.

A request keeps the ids of its calls until nothing is left of them, since no topic can name them any more by then.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg.sql import SQL

from ops.erase.plan import CallState, ErasePlan
from ops.kit.claims import log_number, of_call
from ops.kit.postgres import database
from ops.state.session import StateSettings

# A claim that has counted another record since it was looked at is in use again, and stays.
DELETE_CLAIMS = """
DELETE FROM claim AS c
USING unnest(%(keys)s::text[], %(records)s::bigint[], %(starts)s::bigint[]) AS e (key, records, log_start)
WHERE c.log_id = %(log_id)s AND c.idempotency_key = e.key AND c.records = e.records AND c.owner_offset < e.log_start
"""
COUNT_CONFLICTS = SQL("SELECT count(*) FROM conflict WHERE {}")
DELETE_CONFLICTS = SQL("DELETE FROM conflict WHERE {}")
NOTE = """
INSERT INTO erasure (who, kind, log_name, call_ids, remains_until, claims, conflicts, completed_at)
VALUES (%(who)s, %(kind)s, %(log_name)s, %(call_ids)s, %(until)s, %(claims)s, %(conflicts)s,
    CASE WHEN %(complete)s THEN now() END)
RETURNING erasure_id
"""
OPEN = """
SELECT erasure_id, who, kind, requested_at, call_ids, NULLIF(remains_until, 'infinity'),
    coalesce(remains_until > now(), false)
FROM erasure WHERE completed_at IS NULL AND log_name = %(log_name)s ORDER BY erasure_id
"""
GO_ON = """
UPDATE erasure SET claims = claims + %(claims)s, conflicts = conflicts + %(conflicts)s,
    call_ids = CASE WHEN %(complete)s THEN NULL ELSE call_ids END,
    completed_at = CASE WHEN %(complete)s THEN now() END
WHERE erasure_id = %(erasure_id)s
"""


@dataclass(frozen=True, slots=True)
class Request:
    """An erasure that is not complete. `waiting`: retention has not had its time yet."""

    erasure_id: int
    who: str
    kind: str
    requested_at: datetime
    call_ids: tuple[str, ...]
    until: datetime | None
    waiting: bool


@dataclass(frozen=True, slots=True)
class Erased:
    """What went now. `erasure_id`: of the request that was noted; `completed`: requests that are done with."""

    claims: int
    conflicts: int
    erasure_id: int | None = None
    completed: tuple[int, ...] = ()


async def conflicts_of_call(connection: psycopg.AsyncConnection, log_id: int | None, call_id: str) -> int:
    """How many conflicts of a call there are, also of claims that are gone."""
    condition, parameters = of_call(log_id, call_id)
    cursor = await connection.execute(COUNT_CONFLICTS.format(condition), parameters)
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def execute(settings: StateSettings, plan: ErasePlan, *, kind: str, who: str) -> Erased:
    """Erase what can go now, and note the request with what it leaves."""
    async with database(settings) as connection, connection.transaction():
        gone = await _delete(connection, settings, plan.erasable)
        done = gone.whole and not plan.remains
        parameters = {
            "who": who,
            "kind": kind,
            "log_name": settings.log_name,
            "call_ids": None if done else [call.call_id for call in plan.calls],
            "until": "infinity" if plan.for_ever else plan.until,
            "claims": gone.claims,
            "conflicts": gone.conflicts,
            "complete": done,
        }
        row = await (await connection.execute(NOTE, parameters)).fetchone()
    assert row is not None
    return Erased(gone.claims, gone.conflicts, erasure_id=int(row[0]))


async def open_requests(settings: StateSettings) -> list[Request]:
    """The requests of this raw log that are not complete, the oldest first."""
    async with database(settings) as connection:
        rows = await (await connection.execute(OPEN, {"log_name": settings.log_name})).fetchall()
    return [
        Request(number, who, kind, at, tuple(ids or ()), until, waiting)
        for number, who, kind, at, ids, until, waiting in rows
    ]


async def complete(settings: StateSettings, plan: ErasePlan, requests: Sequence[Request]) -> Erased:
    """Erase what can go now of these requests' calls, and close those of which nothing is left."""
    states = {call.call_id: call for call in plan.calls}
    claims = conflicts = 0
    completed = []
    async with database(settings) as connection:
        for request in requests:
            calls = [states[call_id] for call_id in request.call_ids]
            async with connection.transaction():
                gone = await _delete(connection, settings, [call for call in calls if call.rows and call.erasable])
                done = gone.whole and not request.waiting and not any(call.left_afterwards for call in calls)
                parameters = {"claims": gone.claims, "conflicts": gone.conflicts, "complete": done}
                await connection.execute(GO_ON, {**parameters, "erasure_id": request.erasure_id})
            claims, conflicts = claims + gone.claims, conflicts + gone.conflicts
            completed += [request.erasure_id] if done else []
    return Erased(claims, conflicts, completed=tuple(completed))


@dataclass(frozen=True, slots=True)
class _Gone:
    """What was deleted. `whole`: no claim was in use again."""

    claims: int
    conflicts: int
    whole: bool


async def _delete(connection: psycopg.AsyncConnection, settings: StateSettings, calls: Sequence[CallState]) -> _Gone:
    log_id = await log_number(connection, settings.log_name)
    claims = [(claim, call.log_starts[claim.partition]) for call in calls for claim in call.claims]
    parameters = {
        "log_id": log_id,
        "keys": [claim.key for claim, _ in claims],
        "records": [claim.records for claim, _ in claims],
        "starts": [start for _, start in claims],
    }
    gone = (await connection.execute(DELETE_CLAIMS, parameters)).rowcount
    conflicts = 0
    for call in calls:
        condition, of_this = of_call(log_id, call.call_id)
        conflicts += (await connection.execute(DELETE_CONFLICTS.format(condition), of_this)).rowcount
    return _Gone(gone, conflicts, whole=gone == len(claims))
