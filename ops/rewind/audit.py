"""Keeps the audit of rewinds: one row for each, written before anything moves, and what it says for people."""

import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NamedTuple

import psycopg
from aiokafka import TopicPartition
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from ops.kit.errors import NotFoundError
from ops.kit.groups import Group
from ops.kit.kafka import admin_client
from ops.kit.operator import who
from ops.kit.postgres import database, database_errors
from ops.kit.settings import OffsetSettings
from ops.rewind.offsets import committed
from ops.rewind.plan import RewindPlan
from ops.rewind.target import RewindScope
from runtime.settings import DatabaseSettings

BEGIN = """
INSERT INTO rewind (group_name, topic, who, arguments, before, target)
VALUES (%(group)s, %(topic)s, %(who)s, %(arguments)s, %(before)s, %(target)s) RETURNING rewind_id
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
MOVED = "offsets moved"
_PASSED = re.compile(r"passed again: (?P<records>\d+) records in (?P<seconds>\d+\.\d+) s")
MEASURABLE_RECORDS = 1000  # below, the processors' way back into the group is most of the time

Connection = psycopg.AsyncConnection
Offsets = Mapping[int, int | None]  # by partition


class Rate(NamedTuple):
    """Tells how fast records are processed again, and how we know."""

    records_per_second: float
    source: str


DEFAULT_RATE = Rate(5000.0, "assumed: no completed rewind to measure")


@dataclass(frozen=True, slots=True)
class RewindEntry:
    """Holds one row of the audit. `under_way`: the group is paused now, and this is its newest rewind."""

    rewind_id: int
    group: str
    topic: str
    who: str
    arguments: str
    before: Offsets
    target: Offsets
    begun_at: datetime
    committed_at: datetime | None
    outcome: str | None
    under_way: bool = False

    @property
    def decided(self) -> bool:
        """Whether the row alone tells how it ended, or that it has not."""
        return self.committed_at is not None or self.under_way


async def begin(connection: Connection, plan: RewindPlan) -> int:
    """Note a rewind that this command is about to carry out, and number it."""
    parameters = {
        "group": plan.group,
        "topic": plan.topic,
        "who": who(),
        "arguments": shlex.join(sys.argv[1:]),
        "before": Jsonb(plan.before),
        "target": Jsonb(plan.targets),
    }
    return int((await _execute(connection, BEGIN, parameters))[0][0])


async def moved(connection: Connection, rewind_id: int) -> None:
    """Note that the offsets are the new ones."""
    await _execute(connection, MOVE, {"id": rewind_id, "outcome": MOVED})


async def passed(connection: Connection, rewind_id: int, *, records: int, seconds: float) -> None:
    """Note that it was watched to its end."""
    await _execute(connection, END, {"id": rewind_id, "outcome": passed_again(records, seconds)})


async def read_log(settings: OffsetSettings, state: DatabaseSettings, *, limit: int) -> list[RewindEntry]:
    """Read the newest rewinds, newest first, each with its outcome in words."""
    async with database(state) as connection:
        rows = await _execute(connection, ENTRIES, {"id": None, "limit": limit})
    found = map(_entry, rows)
    return [told(one, None if one.decided else await _now(settings, one)) for one in found]


async def _now(settings: OffsetSettings, found: RewindEntry) -> Offsets | None:
    scope = RewindScope(settings, found.group, found.topic)
    try:
        async with admin_client(settings) as admin:
            group = Group(admin, found.group)
            if not scope.ours:
                await group.existing()
            partitions = [TopicPartition(found.topic, number) for number in sorted(found.before)]
            return await committed(scope, group, partitions, fenced=False)
    except NotFoundError:
        return None


async def entry(connection: Connection, rewind_id: int) -> RewindEntry:
    """Read one rewind.

    Raises:
        NotFoundError: there is none with this number.
    """
    rows = await _execute(connection, ENTRIES, {"id": rewind_id, "limit": 1})
    if not rows:
        raise NotFoundError(f"no rewind {rewind_id}; `ringover-ops rewind log` lists them")
    return _entry(rows[0])


async def rate(connection: Connection, *, group: str, topic: str) -> Rate:
    """Read how fast the last rewind that could be measured was, or assume a rate."""
    rows = await _execute(connection, OUTCOMES, {"group": group, "topic": topic})
    return next((found for row in rows if (found := measured_rate(*row)) is not None), DEFAULT_RATE)


async def _execute(connection: Connection, query: str, parameters: Mapping[str, object]) -> list[TupleRow]:
    with database_errors(connection):
        cursor = await connection.execute(query.encode(), parameters)
        return await cursor.fetchall() if cursor.description else []


def _entry(row: TupleRow) -> RewindEntry:
    number, group, topic, operator, arguments, before, target, begun_at, committed_at, outcome, under_way = row
    offsets = offsets_of(before), offsets_of(target)
    times = begun_at.astimezone(UTC), None if committed_at is None else committed_at.astimezone(UTC)
    return RewindEntry(number, group, topic, operator, arguments, *offsets, *times, outcome, under_way)


def offsets_of(document: Mapping[str, int | None]) -> Offsets:
    """Read offsets back from a jsonb column, whose keys are text."""
    return {int(partition): offset for partition, offset in document.items()}


def passed_again(records: int, seconds: float) -> str:
    """Word the outcome of a rewind that was watched to its end; `measured_rate` reads it."""
    return f"passed again: {records} records in {seconds:.2f} s"


def measured_rate(rewind_id: int, outcome: str) -> Rate | None:
    """Parse the rate that an outcome tells, None if it tells none worth trusting."""
    found = _PASSED.fullmatch(outcome)
    if found is None or int(found["records"]) < MEASURABLE_RECORDS or float(found["seconds"]) <= 0:
        return None
    return Rate(int(found["records"]) / float(found["seconds"]), f"measured by rewind {rewind_id}")


def told(found: RewindEntry, now: Offsets | None) -> RewindEntry:
    """Put the outcome of a row in words; `now` are the group's committed offsets, None if they cannot be had."""
    if found.committed_at is not None:
        return replace(found, outcome=found.outcome or MOVED)
    return replace(found, outcome="under way" if found.under_way else f"interrupted: {_whereabouts(found, now)}")


def _whereabouts(found: RewindEntry, now: Offsets | None) -> str:
    """What the offsets say. All partitions move in one transaction, so one that is telling tells for all."""
    if now is None:
        return "what became of the offsets is not known"
    if all(now.get(partition) == offset for partition, offset in found.before.items()):
        return "the offsets are the old ones"
    if all(now.get(partition) == offset for partition, offset in found.target.items()):
        return "the offsets are the new ones"
    for partition, before in found.before.items():
        offset, target = now.get(partition), found.target.get(partition)
        if None not in (before, offset, target) and target <= offset < before:  # type: ignore[operator]  # not None
            return "the offsets were moved; being passed again"
    return "the group is past the old offsets: they were not moved, or are passed again"
