"""`state compact`: removes old claims and conflicts, a window of the table at a time.

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
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg
from rich.table import Table

from ops.kit.change import Change
from ops.kit.claims import query, rows_changed
from ops.kit.errors import UnsafeError
from ops.kit.kafka import admin_client
from ops.kit.output import table
from ops.kit.postgres import database
from ops.kit.progress import ShowProgress
from ops.kit.settings import StateSettings
from ops.kit.times import days, shown
from ops.kit.topics import known_topics
from ops.state.read import bounds, known_log, log_offsets
from ops.state.show import size

UNLIMITED = -1  # Kafka's retention.ms for "never removed"
WINDOW_BLOCKS = 64  # of 8 KiB, about 70 claims each: some 5,000 rows in one statement
CONFLICTS_AT_ONCE = 5000


@dataclass(frozen=True, slots=True)
class CompactPlan:
    """Tells what goes: claims and conflicts before a time, of records before `log_starts` (by partition)."""

    log: str
    before: datetime
    retention_seconds: float
    log_starts: Mapping[int, int]
    claims: int
    older_but_in_log: int
    conflicts: int
    freed_bytes: int


@dataclass(frozen=True, slots=True)
class Compacted:
    """Tells how many claims and conflicts are gone."""

    removed: int


class Throttle:
    """Spaces work out to at most `rate` units a second (None: as fast as it goes), so that processors keep theirs."""

    def __init__(self, rate: int | None) -> None:
        self._rate = rate
        self._free_at = 0.0

    def wait_seconds(self, count: int, now: float) -> float:
        """How long to wait after `count` units that ended `now` (monotonic seconds)."""
        if self._rate is None:
            return 0.0
        self._free_at = max(self._free_at, now) + count / self._rate
        return self._free_at - now


class CompactState(Change[CompactPlan, Compacted]):
    """Removes claims and conflicts that are older than `ttl` and out of the raw log, at most `rate` a second."""

    def __init__(self, settings: StateSettings, ttl: timedelta, rate: int | None, progress: ShowProgress) -> None:
        self._settings, self._ttl, self._progress = settings, ttl, progress
        self._throttle = Throttle(rate)

    async def plan(self) -> CompactPlan:
        """Count what is older than the TTL.

        Raises:
            UnsafeError: the TTL is below the raw topic's retention.
            NotFoundError: no such topic or log.
        """
        settings = self._settings
        async with admin_client(settings) as admin:
            topic = (await known_topics(admin, [settings.raw_topic]))[settings.raw_topic]
        retention_ms = int(topic.config["retention.ms"])
        reason = too_short(self._ttl, retention_ms)
        if reason is not None:
            raise UnsafeError(reason)
        starts = (await log_offsets(settings)).starts
        before = datetime.now(UTC) - self._ttl
        async with database(settings) as connection:
            where = {"log_id": await known_log(connection, settings), "before": before, **bounds(starts)}
            ((older, expired),) = await query(connection, "count_expired", **where)
            ((conflicts,),) = await query(connection, "count_expired_conflicts", **where)
            ((table, index, estimated),) = await query(connection, "table_size")
        rows = max(estimated, expired, 1)  # never counted by a vacuum: then at least what we have counted
        freed = int((table + index) * expired / rows)  # the files keep their size, the space is used again
        kept = older - expired
        return CompactPlan(settings.log_name, before, retention_ms / 1000, starts, expired, kept, conflicts, freed)

    async def execute(self, plan: CompactPlan) -> Compacted:
        removed = 0
        with self._progress("removing", plan.claims + plan.conflicts, unit="rows") as advance:
            async with database(self._settings) as connection:
                where = {"log_id": await known_log(connection, self._settings), "before": plan.before}
                async for count in _removals(connection, {**where, **bounds(plan.log_starts)}):
                    removed += count
                    advance(count)
                    await asyncio.sleep(self._throttle.wait_seconds(count, time.monotonic()))
        return Compacted(removed)

    def tables(self, plan: CompactPlan) -> Iterable[Table]:
        columns = ("log", "owners before", "claims to remove", "older, but still in raw", "conflicts", "space")
        counts = (f"{count:,}" for count in (plan.claims, plan.older_but_in_log, plan.conflicts))
        yield table("", columns, [(plan.log, shown(plan.before), *counts, size(plan.freed_bytes))], right=columns[2:])

    def notes(self, plan: CompactPlan) -> Iterable[str]:
        yield "freed space is used again, the files do not shrink"

    def done(self, plan: CompactPlan, result: Compacted) -> str:
        return f"removed {result.removed:,} rows"


async def _removals(connection: psycopg.AsyncConnection, where: Mapping[str, object]) -> AsyncIterator[int]:
    """Remove window after window, and yield how many rows each had."""
    ((blocks,),) = await query(connection, "claim_blocks")
    for block in range(0, blocks, WINDOW_BLOCKS):
        window = {"first": f"({block},0)", "next": f"({block + WINDOW_BLOCKS},0)"}
        yield await rows_changed(connection, "delete_expired", **where, **window)
    while count := await rows_changed(connection, "delete_expired_conflicts", **where, most=CONFLICTS_AT_ONCE):
        yield count


def too_short(ttl: timedelta, retention_ms: int) -> str | None:
    """Why claims older than `ttl` must not go; None if they may.

    While a duplicate is in the raw log, a rewind reads it again, and without its claim it would become an owner and be
    emitted. What is beyond the retention is the time in which a late duplicate is still recognized on a rewind.
    """
    if retention_ms == UNLIMITED:
        return (
            "the raw topic keeps records for ever (retention.ms -1), so a rewind may reach any of them: every claim is "
            "needed; give the topic a retention first"
        )
    retention = timedelta(milliseconds=retention_ms)
    if ttl < retention:
        return (
            f"a TTL of {days(ttl)} is below the raw topic's retention of {days(retention)}: a rewind would find "
            "duplicates whose claims are gone, and emit them as if they were new"
        )
    return None
