"""`state rebuild`: the claims made anew from the raw log, by worker processes.

Why it is safe beside running processors: who owns a key is a function of the log alone, and the claim statement writes
nothing unless everything before its batch has been claimed. A worker's claim is therefore the claim that a processor
would make, in whatever order they come, and one that exists is never changed.

With a wipe, progress and claims go in one transaction. Should we die after it, the pause ends by itself, and each
processor's takeover finds progress behind the committed offset and claims the rest again (processors.takeover, Heal).
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from ops.kit.errors import NotFoundError, OpsError, UnsafeError
from ops.kit.groups import Group
from ops.kit.kafka import admin_client
from ops.kit.operator import who
from ops.kit.output import say
from ops.kit.pause import EMPTY_SECONDS, Lease, Timing, paused
from ops.kit.postgres import database
from ops.kit.progress import Advance, shown_progress
from ops.state.rebuild_plan import PartitionPlan, obstacle, plan_rebuild, shares
from ops.state.session import LogOffsets, StateSettings, log_id, log_offsets, progress_of, query

RECORDS_PER_WORKER = 20_000  # below this, starting another process costs more than it gains


@dataclass(frozen=True, slots=True)
class RebuildPlan:
    """What would be done; `claims` exist now, `kept` of them have an owner that retention has removed from the log."""

    log: str
    wipe: bool
    partitions: tuple[PartitionPlan, ...]
    claims: int
    kept: int

    @property
    def records(self) -> int:
        """Records to read."""
        return sum(plan.records for plan in self.partitions)


async def make_plan(settings: StateSettings, *, wipe: bool) -> RebuildPlan:
    """Look at Kafka and PostgreSQL.

    Raises:
        NotFoundError: the group never committed on the raw topic.
        UnsafeError: the guarantee would suffer.
    """
    offsets = await log_offsets(settings)
    if not offsets.committed:
        raise NotFoundError(f"the group {settings.processor_group} never committed on {settings.raw_topic}")
    async with database(settings) as connection:
        try:
            number = await log_id(connection, settings.log_name)
        except NotFoundError:  # a lost table: nothing is claimed, everything is to be
            return _plan(settings, offsets, {}, wipe=wipe, claims=0, kept=0)
        progress = await progress_of(connection, number)
        where = {"log_id": number}
        claims = (await query(connection, "claims_of_log", where))[0][0]
        kept = (await query(connection, "claims_with_owner_removed", {**where, **offsets.bounds}))[0][0]
    return _plan(settings, offsets, progress, wipe=wipe, claims=claims, kept=kept)


def _plan(
    settings: StateSettings, offsets: LogOffsets, progress: dict[int, int], *, wipe: bool, claims: int, kept: int
) -> RebuildPlan:
    plans = plan_rebuild(offsets.ranges, offsets.committed, progress)
    reason = obstacle(plans, offsets.ranges)
    if reason is not None:
        raise UnsafeError(reason)
    return RebuildPlan(settings.log_name, wipe, tuple(plans), claims, kept)


async def rebuild(settings: StateSettings, *, wipe: bool, rate: int | None) -> RebuildPlan:
    """Carry it out; what was done, by the plan made at the last moment.

    Raises:
        UnsafeError: with a wipe, the group did not become empty, or somebody else has paused it; nothing was touched.
        OpsError: it could not be finished; the processors heal what is missing.
    """
    if not wipe:
        plan = await make_plan(settings, wipe=False)
        await _work(plan, rate)
        return plan
    name = settings.processor_group
    # A connection for each step: one that broke does not end the pause.
    lease = Lease(lambda: database(settings), name, f"state rebuild by {who()}", Timing(), again=True)
    async with admin_client(settings) as admin, paused(lease, Group(admin, name), EMPTY_SECONDS, say):
        plan = await make_plan(settings, wipe=True)
        async with database(settings) as connection:
            await _wipe(connection, settings, plan)
        await _work(plan, rate)
        await _check(settings)
    return plan


async def _wipe(connection: psycopg.AsyncConnection, settings: StateSettings, plan: RebuildPlan) -> None:
    """Claims, conflicts and progress of this log, all at once or not at all."""
    try:
        number = await log_id(connection, settings.log_name)
    except NotFoundError:
        return
    starts = [partition.start for partition in plan.partitions]
    bounds = {"log_id": number, "partitions": [p.partition for p in plan.partitions], "starts": starts}
    async with connection.transaction():
        # Claims under way end first; a claim statement would otherwise meet us half-way and wait in a circle.
        await connection.execute("LOCK TABLE progress, claim, conflict IN ACCESS EXCLUSIVE MODE")
        await query(connection, "wipe_progress", {"log_id": number})
        await query(connection, "wipe_conflicts", bounds)
        if plan.kept == 0 and len(await query(connection, "logs")) == 1:
            await connection.execute("TRUNCATE claim")  # leaves no dead rows behind
        else:
            await query(connection, "wipe_claims", bounds)
            await query(connection, "wipe_counts", {"log_id": number})


async def _check(settings: StateSettings) -> None:
    """Progress must have reached the group's commits before the processors come back."""
    offsets = await log_offsets(settings)
    async with database(settings) as connection:
        progress = await progress_of(connection, await log_id(connection, settings.log_name))
    behind = [str(p) for p, committed in offsets.committed.items() if progress.get(p, -1) < committed]
    if behind:
        raise OpsError(f"partitions {', '.join(behind)} are still behind; the processors heal them when they take over")


async def _work(plan: RebuildPlan, rate: int | None) -> None:
    wanted = min(os.cpu_count() or 1, 1 + plan.records // RECORDS_PER_WORKER)
    hands = shares(plan.partitions, wanted)
    with shown_progress("rebuilding claims", plan.records) as advance:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_worker(hand, rate, len(hands), advance)) for hand in hands]
    failures = [failure for task in tasks if (failure := task.result())]
    if failures:
        raise OpsError(f"{failures[0]}; run it again, or leave the rest to the processors: they heal it")


async def _worker(hand: Sequence[PartitionPlan], rate: int | None, workers: int, advance: Advance) -> str | None:
    """Run one worker process; why it failed, if it did."""
    ranges = [f"{plan.partition}:{plan.start}:{plan.end}" for plan in hand]
    each = max(1, rate // workers) if rate else 0
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "ops.state.rebuild_worker", str(each), *ranges),
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
