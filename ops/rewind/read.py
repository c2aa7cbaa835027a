"""Reads what a plan is made of: offsets, the log's bounds, times at the targets, and forecasts what will come out."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace

import psycopg
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from ops.calls.partition import outputs_of
from ops.calls.timeline import source_of
from ops.kit.claims import log_number, progress_of
from ops.kit.errors import NotFoundError, UsageError
from ops.kit.groups import Group
from ops.kit.kafka import admin_client, reader
from ops.kit.postgres import database, database_errors
from ops.kit.scan import Range, scan, since, timestamps_at, whole_topic
from ops.kit.times import milliseconds
from ops.kit.topics import partitions_of, partitions_of_all
from ops.rewind import audit
from ops.rewind.offsets import committed
from ops.rewind.plan import Forecast, PartitionMove, PartitionPosition, RewindPlan, dated, plan_moves
from ops.rewind.target import RewindScope, Target, ToGroup, ToTime, describe
from runtime.settings import DatabaseSettings
from schemas.dead_letter import GROUP
from schemas.headers import header

TIMESTAMP_SECONDS = 10.0
# One range over all partitions, so that the block ranges of claim_by_place are used; the join then looks closely.
OWNERS = """
SELECT count(*) FROM claim AS c
JOIN unnest(%(partitions)s::int[], %(starts)s::bigint[], %(ends)s::bigint[]) AS r (partition, first, past)
  ON c.partition = r.partition AND c.owner_offset >= r.first AND c.owner_offset < r.past
WHERE c.log_id = %(log_id)s AND c.owner_offset >= %(first)s AND c.owner_offset < %(past)s
"""

Ranges = Mapping[int, Range]


@dataclass(frozen=True, slots=True)
class RewindSession:
    """Keeps the connections of one command, its group and partitions; `state` is None for some groups downstream."""

    scope: RewindScope
    admin: AIOKafkaAdminClient
    consumer: AIOKafkaConsumer
    state: psycopg.AsyncConnection | None
    group: Group
    partitions: Sequence[TopicPartition]

    async def progress(self) -> dict[int, int]:
        """Read how far each partition of the raw log was claimed; empty for a group downstream."""
        if not self.scope.ours or self.state is None:
            return {}
        with database_errors():
            return await progress_of(self.state, self.scope.settings.log_name)


@asynccontextmanager
async def rewind_session(scope: RewindScope) -> AsyncIterator[RewindSession]:
    """Connect to everything.

    Raises:
        NotFoundError: no such group, topic or partition.
        UsageError: the processors' group, and no DATABASE_URL.
        OpsError: a server is away or refuses.
    """
    async with (
        _state(scope) as state,
        admin_client(scope.settings) as admin,
        reader(scope.settings, isolation="read_committed") as consumer,
    ):
        group = Group(admin, scope.group)
        session = RewindSession(scope, admin, consumer, state, group, await partitions_in(admin, scope))
        # The state table may know what the group processed though its offsets are gone (they expire when nobody commits
        # for `offsets.retention.minutes`), or though the group is new on a known log: processors refuse to guess where
        # to begin, and a rewind is how operators tell them.
        if not await session.progress():
            await group.existing()
        yield session


async def partitions_in(admin: AIOKafkaAdminClient, scope: RewindScope) -> list[TopicPartition]:
    """List the partitions that a rewind is about.

    Raises:
        NotFoundError: there is no such topic, or no such partition.
    """
    count = await partitions_of(admin, scope.topic)
    wanted = range(count) if scope.partitions is None else scope.partitions
    for number in wanted:
        if number >= count:
            raise NotFoundError(f"topic {scope.topic} has partitions 0 to {count - 1}, and no {number}")
    return [TopicPartition(scope.topic, number) for number in wanted]


def _state(scope: RewindScope) -> AbstractAsyncContextManager[psycopg.AsyncConnection | None]:
    url = scope.settings.database_url
    if url is not None:
        return database(DatabaseSettings(database_url=url))
    if scope.ours:
        raise UsageError("DATABASE_URL is needed to rewind the processors: they are paused by it")
    return nullcontext()


async def read_plan(session: RewindSession, target: Target) -> RewindPlan:
    """Make the whole plan; raises as `read_moves`."""
    scope, consumer = session.scope, session.consumer
    moves = await read_moves(session, target)
    wanted = {m.partition: m.target for m in moves if m.target is not None and m.target < m.log_end}
    moves = dated(target, moves, await timestamps_at(consumer, scope.topic, wanted, seconds=TIMESTAMP_SECONDS))
    plan = RewindPlan(scope.group, scope.topic, describe(target), moves)
    if not scope.ours or session.state is None:
        return plan
    counts = await partitions_of_all(session.admin, (scope.names.raw, scope.names.dead_letter))
    with database_errors():
        expected = await forecast(session.state, consumer, scope, moves, counts)
        rate = await audit.rate(session.state, group=plan.group, topic=plan.topic)
    return RewindPlan(plan.group, plan.topic, plan.goal, moves, expected, *rate)


async def read_moves(session: RewindSession, target: Target, *, fenced: bool = False) -> tuple[PartitionMove, ...]:
    """Plan the moves as they would be now, without times and forecast: quick. `fenced`: see `offsets.committed`.

    Raises:
        UnsafeError: a target is beyond the log's end.
        NotFoundError: the target is another group's offsets, and there is no such group.
    """
    progress = await session.progress()
    # Committed before the log's end: the other way round, a busy group would be beyond it.
    offsets = await committed(session.scope, session.group, session.partitions, fenced=fenced)
    lookups = await _lookups(session, target)
    log = await whole_topic(session.consumer, session.partitions)  # reads committed: to the end that consumers can see
    positions = [
        PartitionPosition(
            p.partition, offsets[p.partition], log[p].start, log[p].end, progress.get(p.partition), lookup
        )
        for p in session.partitions
        for lookup in [lookups.get(p.partition)]
    ]
    return plan_moves(target, positions)


async def _lookups(session: RewindSession, target: Target) -> Mapping[int, int | None]:
    match target:
        case ToTime(timestamp_ms=timestamp_ms):
            # The client writes into the mapping it is given, and answers None past the last record.
            found = await session.consumer.offsets_for_times(dict.fromkeys(session.partitions, timestamp_ms))
            return {p.partition: found[p].offset if found[p] else None for p in session.partitions}
        case ToGroup(group=name):
            other = await session.group.other(name)
            return await committed(replace(session.scope, group=name), other, session.partitions, fenced=False)
        case _:
            return {}


async def forecast(
    connection: psycopg.AsyncConnection,
    consumer: AIOKafkaConsumer,
    scope: RewindScope,
    moves: Sequence[PartitionMove],
    counts: Mapping[str, int],
) -> Forecast:
    """Forecast what comes out of the records that processors will read again; `counts`: partitions by topic."""
    again = again_of(moves)
    times: dict[int, int] = {}  # by partition of the dead-letter topic, from when on it may have some of them
    for move in moves:
        if move.target_time is not None and move.records:
            first = milliseconds(move.target_time)
            for number in outputs_of(move.partition, counts[scope.names.dead_letter], raw=counts[scope.names.raw]):
                times[number] = min(first, times.get(number, first))
    return Forecast(
        records=sum(map(len, again.values())),
        events=await _owners(connection, scope.settings.log_name, again),
        dead_letters=await _dead_letters(consumer, scope, again, times),
    )


def again_of(moves: Sequence[PartitionMove]) -> Ranges:
    """List the raw offsets that would be read again, by partition."""
    return {m.partition: Range(m.target, m.target + m.records) for m in moves if m.target is not None and m.records}


async def _owners(connection: psycopg.AsyncConnection, log_name: str, again: Ranges) -> int:
    log_id = await log_number(connection, log_name)
    if log_id is None or not again:
        return 0
    starts, ends = [wanted.start for wanted in again.values()], [wanted.end for wanted in again.values()]
    bounds = {"partitions": list(again), "starts": starts, "ends": ends, "first": min(starts), "past": max(ends)}
    row = await (await connection.execute(OWNERS, bounds | {"log_id": log_id})).fetchone()
    return int(row[0]) if row else 0


async def _dead_letters(consumer: AIOKafkaConsumer, scope: RewindScope, again: Ranges, times: Mapping[int, int]) -> int:
    """How many raw records of the ranges this group gave up: each is written again on every pass, and counts once.

    A dead letter has its raw record's timestamp, so none of the range comes before the first one that late.
    """
    found: set[tuple[int, int]] = set()
    ranges: dict[TopicPartition, Range] = {}
    for number, first_ms in times.items():
        ranges |= await since(consumer, [TopicPartition(scope.names.dead_letter, number)], first_ms)
    group = scope.group.encode()
    async for records in scan(consumer, ranges):
        ours = (source_of(record, scope.topic) for record in records if header(record.headers, GROUP) == group)
        found.update(source for source in ours if source is not None)
    return sum(number in again and again[number].start <= offset < again[number].end for number, offset in found)
