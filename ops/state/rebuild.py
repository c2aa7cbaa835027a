"""`state rebuild`: makes the claims anew from the raw log, by worker processes.

Why it is safe beside running processors: who owns a key is a function of the log alone, and the claim statement writes
nothing unless everything before its batch has been claimed. A worker's claim is therefore the claim that a processor
would make, in whatever order they come, and one that exists is never changed.

With a wipe, progress and claims go in one transaction. Should we die after it, the pause ends by itself, and each
processor's takeover finds progress behind the committed offset and claims the rest again (processors.takeover, Heal).
"""

import asyncio
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import psycopg
from rich.table import Table

from ops.kit.change import Change
from ops.kit.claims import log_number, progress_of, query, rows_changed
from ops.kit.errors import NotFoundError, OpsError, UnsafeError
from ops.kit.groups import Group
from ops.kit.kafka import admin_client
from ops.kit.output import table
from ops.kit.pause import EMPTY_SECONDS, Lease, Say, Timing, paused
from ops.kit.postgres import database
from ops.kit.progress import Advance, ShowProgress
from ops.kit.scan import Range
from ops.kit.settings import StateSettings
from ops.state.read import bounds, log_offsets

RECORDS_PER_WORKER = 20_000  # below this, starting another process costs more than it gains


@dataclass(frozen=True, slots=True)
class PartitionRebuild:
    """Tells which records [start, end) of a partition are claimed again; `committed` None: nothing to do there.

    Without a commit nothing was ever emitted, and a progress without a commit would make processors refuse the
    partition (it looks as if offsets had expired).
    """

    partition: int
    start: int
    end: int
    committed: int | None
    progress_before: int | None

    @property
    def records(self) -> int:
        return max(0, self.end - self.start)


@dataclass(frozen=True, slots=True)
class RebuildPlan:
    """Tells what is read; `claims_kept` of `claims_before` have an owner that retention has removed from the log."""

    also_in_json: ClassVar = ("records",)

    log: str
    wipe: bool
    partitions: Sequence[PartitionRebuild]
    claims_before: int
    claims_kept: int

    @property
    def records(self) -> int:
        return sum(plan.records for plan in self.partitions)

    @property
    def starts(self) -> dict[int, int]:
        """Where each partition of the raw log begins."""
        return {plan.partition: plan.start for plan in self.partitions}


class RebuildState(Change[RebuildPlan, RebuildPlan]):
    """Claims the raw log again, at most `rate` records a second; the result is the plan as it was at the last moment.

    With `wipe`, the group is paused, and its claims are forgotten first.
    """

    def __init__(
        self, settings: StateSettings, progress: ShowProgress, say: Say, *, operator: str, wipe: bool, rate: int | None
    ) -> None:
        self._settings, self._progress, self._say = settings, progress, say
        self._operator, self._wipe, self._rate = operator, wipe, rate

    async def plan(self) -> RebuildPlan:
        """Look at Kafka and PostgreSQL.

        Raises:
            NotFoundError: the group never committed on the raw topic.
            UnsafeError: the guarantee would suffer.
        """
        settings = self._settings
        before = kept = 0
        async with database(settings) as connection:
            # Before the log's ends: processors may go on, and none lies beyond an end that is read later.
            progress = await progress_of(connection, settings.log_name)
            offsets = await log_offsets(settings)
            if not offsets.committed:
                raise NotFoundError(f"the group {settings.processor_group} never committed on {settings.raw_topic}")
            number = await log_number(connection, settings.log_name)
            if number is not None:  # else a lost table: nothing is claimed, everything is to be
                ((before,),) = await query(connection, "claims_of_log", log_id=number)
                removed = {"log_id": number, **bounds(offsets.starts)}
                ((kept,),) = await query(connection, "claims_with_owner_removed", **removed)
        plans = plan_rebuild(offsets.ranges, offsets.committed, progress)
        reason = obstacle(plans, offsets.ranges)
        if reason is not None:
            raise UnsafeError(reason)
        return RebuildPlan(settings.log_name, self._wipe, plans, before, kept)

    async def execute(self, plan: RebuildPlan) -> RebuildPlan:
        """Carry it out.

        Raises:
            UnsafeError: with a wipe, the group did not become empty, or somebody else has paused it; nothing was
                touched.
            OpsError: it could not be finished; the processors heal what is missing.
        """
        settings = self._settings
        if not plan.wipe:
            await self._work(plan)
            return plan
        name, why = settings.processor_group, f"state rebuild by {self._operator}"
        # A connection for each step: one that broke does not end the pause.
        lease = Lease(lambda: database(settings), name, why, Timing(), again=True)
        async with admin_client(settings) as admin, paused(lease, Group(admin, name), EMPTY_SECONDS, self._say):
            plan = await self.plan()
            async with database(settings) as connection:
                await _wipe(connection, plan)
            await self._work(plan)
            await self._check()
        return plan

    def tables(self, plan: RebuildPlan) -> Iterable[Table]:
        rows = [
            (p.partition, p.start, p.end, p.committed, p.progress_before, f"{p.records:,}") for p in plan.partitions
        ]
        columns = ("partition", "from", "to", "committed", "progress before", "records")
        yield table(plan.log, columns, rows, right=columns)

    def notes(self, plan: RebuildPlan) -> Iterable[str]:
        how = (
            "all others are forgotten first, and the group is paused meanwhile" if plan.wipe else "nothing is forgotten"
        )
        yield (
            f"{plan.claims_before:,} claims exist, {plan.claims_kept:,} of them of records that retention has removed: "
            f"these cannot be rebuilt and are kept as they are; {how}"
        )

    def done(self, plan: RebuildPlan, result: RebuildPlan) -> str:
        return f"rebuilt from {result.records:,} records"

    async def _work(self, plan: RebuildPlan) -> None:
        wanted = min(os.cpu_count() or 1, 1 + plan.records // RECORDS_PER_WORKER)
        hands = shares(plan.partitions, wanted)
        rate = max(1, self._rate // len(hands)) if self._rate and hands else 0
        with self._progress("rebuilding claims", plan.records) as advance:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(_worker(hand, rate, advance)) for hand in hands]
        failures = [failure for task in tasks if (failure := task.result())]
        if failures:
            raise OpsError(f"{failures[0]}; run it again, or leave the rest to the processors: they heal it")

    async def _check(self) -> None:
        """Progress must have reached the group's commits before the processors come back."""
        offsets = await log_offsets(self._settings)
        async with database(self._settings) as connection:
            progress = await progress_of(connection, self._settings.log_name)
        behind = [str(p) for p, committed in offsets.committed.items() if progress.get(p, -1) < committed]
        if behind:
            which = ", ".join(behind)
            raise OpsError(f"partitions {which} are still behind; the processors heal them when they take over")


def plan_rebuild(
    ranges: Mapping[int, Range], committed: Mapping[int, int], progress: Mapping[int, int]
) -> list[PartitionRebuild]:
    """From the log's start to what was committed or claimed: further on, the processors claim by themselves.

    Up to the progress, too: a commit may show only some time after it was made, and progress is never behind it.
    """
    plans = []
    for partition, found in sorted(ranges.items()):
        offset, known = committed.get(partition), progress.get(partition)
        end = found.start
        if offset is not None:
            end = max(found.start, min(max(offset, known or 0), found.end))
        plans.append(PartitionRebuild(partition, found.start, end, offset, known))
    return plans


def obstacle(plans: Sequence[PartitionRebuild], ranges: Mapping[int, Range]) -> str | None:
    """Why the state table must not be wiped or filled now; None if nothing stands against it."""
    for plan in plans:
        known = max(plan.committed or 0, plan.progress_before or 0)
        if known > ranges[plan.partition].end:
            return (
                f"partition {plan.partition} ends at {ranges[plan.partition].end}, but {known} was processed: the "
                "topic was made again or lost records; give the new log its own PROCESSOR_LOG_ID"
            )
        if plan.committed is None and plan.progress_before:
            return (
                f"partition {plan.partition} was processed up to {plan.progress_before}, but the group has "
                "no committed offset there; without this progress the processors would emit everything again: commit "
                "offsets first"
            )
    return None


def shares(plans: Sequence[PartitionRebuild], workers: int) -> list[list[PartitionRebuild]]:
    """The partitions dealt out to workers, the longest first, each to the one with the least so far."""
    hands: list[list[PartitionRebuild]] = [[] for _ in range(workers)]
    for plan in sorted(plans, key=lambda plan: plan.records, reverse=True):
        if plan.committed is not None:
            min(hands, key=lambda hand: sum(other.records for other in hand)).append(plan)
    return [hand for hand in hands if hand]


async def _wipe(connection: psycopg.AsyncConnection, plan: RebuildPlan) -> None:
    """Claims, conflicts and progress of this log, all at once or not at all."""
    number = await log_number(connection, plan.log)
    if number is None:
        return
    where = {"log_id": number, **bounds(plan.starts)}
    async with connection.transaction():
        # Claims under way end first; a claim statement would otherwise meet us half-way and wait in a circle.
        await connection.execute("LOCK TABLE progress, claim, conflict IN ACCESS EXCLUSIVE MODE")
        await rows_changed(connection, "wipe_progress", log_id=number)
        await rows_changed(connection, "wipe_conflicts", **where)
        if plan.claims_kept == 0 and len(await query(connection, "logs")) == 1:
            await connection.execute("TRUNCATE claim")  # leaves no dead rows behind
        else:
            await rows_changed(connection, "wipe_claims", **where)
            await rows_changed(connection, "wipe_counts", log_id=number)


async def _worker(hand: Sequence[PartitionRebuild], rate: int, advance: Advance) -> str | None:
    """Run one worker process; why it failed, if it did."""
    ranges = [f"{plan.partition}:{plan.start}:{plan.end}" for plan in hand]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "ops.state.rebuild_worker", str(rate), *ranges),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async for line in process.stdout:
            advance(int(line))
        complaint = (await process.stderr.read()).decode(errors="replace").strip()
        return None if await process.wait() == 0 else complaint.rpartition("\n")[2] or "a worker was killed"
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
