"""The audit of rewinds: one row for each, written before anything moves."""

from collections.abc import Mapping

import psycopg
from psycopg.rows import TupleRow

from ops.kit.errors import NotFoundError
from ops.kit.postgres import database_errors
from ops.rewind.json import offsets_document, offsets_of
from ops.rewind.log import DEFAULT_RATE, MOVED, Entry, measured_rate
from ops.rewind.plan import Plan, Rate

BEGIN = """
INSERT INTO rewind (group_name, topic, who, arguments, before, target)
VALUES (%(group)s, %(topic)s, %(who)s, %(arguments)s, %(before)s::jsonb, %(target)s::jsonb) RETURNING rewind_id
"""
MOVE = "UPDATE rewind SET committed_at = now(), outcome = %(outcome)s WHERE rewind_id = %(id)s"
END = "UPDATE rewind SET outcome = %(outcome)s WHERE rewind_id = %(id)s"
ENTRIES = """
SELECT rewind_id, r.group_name, topic, who, arguments, before, target, begun_at, committed_at, outcome,
    p.group_name IS NOT NULL
FROM rewind AS r LEFT JOIN pause AS p ON p.group_name = r.group_name AND p.until > now()
    AND r.rewind_id = (SELECT max(rewind_id) FROM rewind WHERE group_name = r.group_name)
WHERE %(id)s::bigint IS NULL OR rewind_id = %(id)s ORDER BY rewind_id DESC LIMIT %(limit)s
"""
OUTCOMES = """
SELECT rewind_id, outcome FROM rewind WHERE group_name = %(group)s AND topic = %(topic)s AND outcome LIKE 'passed%%'
ORDER BY rewind_id DESC LIMIT 20
"""

Connection = psycopg.AsyncConnection


async def begin(connection: Connection, plan: Plan, *, who: str, arguments: str) -> int:
    """Note a rewind that is about to move offsets; its number."""
    parameters = {
        "group": plan.group,
        "topic": plan.topic,
        "who": who,
        "arguments": arguments,
        "before": offsets_document(plan.before),
        "target": offsets_document(plan.targets),
    }
    rows = await _execute(connection, BEGIN, parameters)
    return int(rows[0][0])


async def moved(connection: Connection, rewind_id: int) -> None:
    """Note that the offsets are the new ones."""
    await _execute(connection, MOVE, {"id": rewind_id, "outcome": MOVED})


async def ended(connection: Connection, rewind_id: int, outcome: str) -> None:
    """Note how it ended."""
    await _execute(connection, END, {"id": rewind_id, "outcome": outcome})


async def entries(connection: Connection, *, limit: int) -> list[Entry]:
    """The newest rewinds, newest first."""
    return [_entry(row) for row in await _execute(connection, ENTRIES, {"id": None, "limit": limit})]


async def entry(connection: Connection, rewind_id: int) -> Entry:
    """One rewind.

    Raises:
        NotFoundError: there is none with this number.
    """
    rows = await _execute(connection, ENTRIES, {"id": rewind_id, "limit": 1})
    if not rows:
        raise NotFoundError(f"no rewind {rewind_id}; `ringover-ops rewind log` lists them")
    return _entry(rows[0])


async def rate(connection: Connection, *, group: str, topic: str) -> Rate:
    """How fast the last rewind that could be measured was, or an assumption."""
    for rewind_id, outcome in await _execute(connection, OUTCOMES, {"group": group, "topic": topic}):
        found = measured_rate(rewind_id, outcome)
        if found is not None:
            return found
    return DEFAULT_RATE


def _entry(row: TupleRow) -> Entry:
    number, group, topic, who, arguments, before, target, begun_at, committed_at, outcome, paused = row
    places = offsets_of(before), offsets_of(target)
    return Entry(number, group, topic, who, arguments, *places, begun_at, committed_at, outcome, paused=paused)


async def _execute(connection: Connection, query: str, parameters: Mapping[str, object]) -> list[TupleRow]:
    with database_errors(connection):
        cursor = await connection.execute(query.encode(), parameters)
        return await cursor.fetchall() if cursor.description else []
