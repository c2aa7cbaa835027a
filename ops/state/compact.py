"""`state compact`: old claims and conflicts removed, a window of the table at a time.

Safe beside running processors: a claim goes only when its owner is no longer in the raw log (its offset is below the
log's start as the broker tells it) and is older than the TTL, which is at least the topic's retention. No rewind can
reach that owner any more. What is given up is the memory of its key: a duplicate that arrives later than the TTL after
its owner becomes a new owner and is emitted. Duplicates that are in the log stay silent on a rewind if they came within
(TTL minus retention) after their owner.

Each window is one short statement. It locks only rows that it deletes, and a processor that claims one of those keys
at that moment waits for the statement, not for the run. Windows are ranges of the heap's blocks, so the table is read
once whatever has been deleted already; breaking off and starting again loses nothing.
"""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg

from ops.kit.errors import NotFoundError, UnsafeError
from ops.kit.kafka import admin_client
from ops.kit.postgres import database
from ops.kit.progress import shown_progress
from ops.state.session import QUERIES, LogOffsets, StateSettings, log_id, log_offsets, query
from ops.state.throttle import Throttle
from ops.state.ttl import too_short
from ops.topics.run import read_topics

WINDOW_BLOCKS = 64  # of 8 KiB, about 70 claims each: some 5,000 rows in one statement
CONFLICTS_AT_ONCE = 5000


@dataclass(frozen=True, slots=True)
class CompactPlan:
    """What would go. `claims` of `older` ones; the rest of these is still in the raw log and stays."""

    log: str
    before: datetime
    retention: timedelta
    claims: int
    older: int
    conflicts: int
    freed_bytes: int

    def as_json(self) -> dict[str, object]:
        """For `-o json`."""
        return {
            "log": self.log,
            "before": self.before,
            "retention_seconds": self.retention.total_seconds(),
            "claims": self.claims,
            "older_but_in_log": self.older - self.claims,
            "conflicts": self.conflicts,
            "freed_bytes": self.freed_bytes,
        }


async def make_plan(settings: StateSettings, ttl: timedelta) -> tuple[CompactPlan, LogOffsets]:
    """Count what is older than the TTL.

    Raises:
        UnsafeError: the TTL is below the raw topic's retention.
        NotFoundError: no such topic or log.
    """
    retention_ms = await _retention_ms(settings)
    reason = too_short(ttl, retention_ms)
    if reason is not None:
        raise UnsafeError(reason)
    offsets = await log_offsets(settings)
    before = datetime.now(UTC) - ttl
    async with database(settings) as connection:
        number = await log_id(connection, settings.log_name)
        where = {"log_id": number, "before": before, **offsets.bounds}
        older, claims = (await query(connection, "count_expired", where))[0]
        conflicts = (await query(connection, "count_expired_conflicts", where))[0][0]
        freed = await _bytes_of(connection, claims)
    retention = timedelta(milliseconds=retention_ms)
    return CompactPlan(settings.log_name, before, retention, claims, older, conflicts, freed), offsets


async def compact(settings: StateSettings, plan: CompactPlan, offsets: LogOffsets, *, rate: int | None) -> int:
    """Carry it out; how many claims and conflicts are gone."""
    throttle = Throttle(rate)
    gone = 0
    async with database(settings) as connection:
        number = await log_id(connection, settings.log_name)
        where = {"log_id": number, "before": plan.before, **offsets.bounds}
        blocks = (await query(connection, "claim_blocks"))[0][0]
        with shown_progress("removing", plan.claims + plan.conflicts, unit="rows") as advance:
            for block in range(0, blocks, WINDOW_BLOCKS):
                window = {"first": f"({block},0)", "next": f"({block + WINDOW_BLOCKS},0)"}
                count = await _delete(connection, "delete_expired", {**where, **window})
                gone += count
                advance(count)
                await asyncio.sleep(throttle.wait_seconds(count, time.monotonic()))
            while count := await _delete(connection, "delete_expired_conflicts", {**where, "most": CONFLICTS_AT_ONCE}):
                gone += count
                advance(count)
                await asyncio.sleep(throttle.wait_seconds(count, time.monotonic()))
    return gone


async def _delete(connection: psycopg.AsyncConnection, name: str, parameters: dict[str, object]) -> int:
    return (await connection.execute(QUERIES[name], parameters)).rowcount


async def _bytes_of(connection: psycopg.AsyncConnection, claims: int) -> int:
    """The part of table and index that so many claims take; the files keep their size, the space is used again."""
    table, index, estimated = (await query(connection, "table_size"))[0]
    rows = max(estimated, claims, 1)  # never counted by a vacuum: then at least what we have counted
    return int((table + index) * claims / rows)


async def _retention_ms(settings: StateSettings) -> int:
    async with admin_client(settings) as admin:
        topic = (await read_topics(admin, [settings.raw_topic])).get(settings.raw_topic)
    if topic is None:
        raise NotFoundError(f"no topic {settings.raw_topic}: run `ringover-ops topics apply`")
    return int(topic.config["retention.ms"])
