"""Keeps the guarantee, in one readable function: `PartitionPipeline.run`.

One pipeline per assigned partition and takeover. Nothing here knows Kafka or PostgreSQL.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TypeVar

from processors.decide import claims_of, count_by_labels, decide
from processors.lag import PartitionProblem, PartitionStatus
from processors.metrics import ProcessorMetrics
from processors.model import Batch, Conflict, DeadLettered, Decision, Emit, Owners, RawRecord, Steps, Verdict
from processors.normalize import normalize
from processors.ports import Output, RawLog, RecordTracer, State
from processors.takeover import take_over
from processors.trace_selection import select_traced
from runtime.errors import RefusedError, StateUnavailableError
from runtime.logs import logger
from schemas.topics import TopicNames

SLICE_RECORDS = 250  # decoded and normalized in one go: some milliseconds, if bodies are not huge
STATE_RETRY_SECONDS = (0.1, 5.0)  # first and longest wait between tries while PostgreSQL is away

Answer = TypeVar("Answer")

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Ports:
    """Holds the ports of one partition."""

    raw: RawLog
    state: State
    output: Output


@dataclass(frozen=True, slots=True)
class PartitionConfig:
    """Configures one partition: where it reads and writes, for which group, how much at once."""

    partition: int
    group: str
    topics: TopicNames
    max_records: int


class PartitionPipeline:
    """Processes one partition from takeover until it is stopped or fails."""

    def __init__(
        self,
        config: PartitionConfig,
        ports: Ports,
        metrics: ProcessorMetrics,
        status: PartitionStatus,
        tracer: RecordTracer | None = None,
    ) -> None:
        self._config = config
        self._ports = ports
        self._metrics = metrics
        self._status = status
        self._tracer = tracer
        self._source = f"{config.topics.raw}/{config.partition}"
        self._counted_until = 0
        self._stop = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Take the partition over, then turn raw records into events until `stop` is set.

        Each batch: fetch, normalize (pure), claim in PostgreSQL, decide (pure), then write events, dead letters and
        the offset in one Kafka transaction. The next batch is fetched, normalized and claimed while that transaction
        commits; transactions themselves follow each other. A crash between claim and commit repeats the batch: its
        claims are found to be its own, and its events come out once.

        Raises:
            TransientError: begin again with a takeover; nothing half-done is visible.
            FencedError: another process owns the partition now.
            RefusedError: going on would break the guarantee.
        """
        self._stop = stop
        position = await self._take_over()
        self._counted_until = max(position, await self._ports.state.progress() or 0)
        self._metrics.takeovers.inc()
        self._status.reach(position)
        committing: asyncio.Task[None] | None = None
        try:
            while not stop.is_set():
                batch = await self._next(position)
                if batch is not None:
                    self._status.pending.append(batch.verdicts[0].timestamp_ms)
                    decision = await self._decide(batch)
                    if committing is not None:
                        await committing
                    committing = asyncio.create_task(self._commit(batch, decision))
                    position = batch.next_offset
                elif committing is not None:
                    await committing  # nothing to do beside it
                    committing = None
                else:
                    self._status.rest(await self._ports.raw.position())  # past markers, which are no lag
            if committing is not None:
                await committing
        finally:
            if committing is not None:
                await _settle(committing)
            self._status.give_up()

    async def _take_over(self) -> int:
        try:
            return await take_over(self._ports.raw, self._ports.state, self._ports.output, heal=self._heal)
        except RefusedError as error:
            raise RefusedError(f"{self._source}: {error}") from error

    async def _next(self, position: int, end: int | None = None) -> Batch | None:
        """Fetch and judge the next records, up to `end`; None when none came within a fraction of a second.

        They come in slices, and a slice is let go of before the next one is decoded: raw records of a whole batch would
        not fit into the CPU's cache.
        """
        most = self._config.max_records
        records = await self._slice(min(most, SLICE_RECORDS), end)
        if not records:
            return None
        steps = Steps(fetched=time.time_ns())
        expected = position
        verdicts: list[Verdict] = []
        while records:
            if records[0].offset != expected:
                await self._explain_gap(expected, records[0].offset)
            expected = records[-1].offset + 1
            verdicts += [normalize(record, source=self._source) for record in records]
            wanted = min(most - len(verdicts), SLICE_RECORDS) if len(records) == SLICE_RECORDS else 0
            await asyncio.sleep(0)  # heartbeats and the other partitions come in between
            records = await self._slice(wanted, end, wait=False) if wanted else ()
        return Batch(self._config.partition, position, expected, verdicts, steps)

    async def _slice(self, max_records: int, end: int | None, *, wait: bool = True) -> Sequence[RawRecord]:
        records = await self._ports.raw.fetch(max_records, wait=wait)
        return records if end is None else [record for record in records if record.offset < end]

    async def _explain_gap(self, position: int, found: int) -> None:
        """Refuse a gap that removed records left: they must not pass silently as transaction markers do."""
        bounds = await self._ports.raw.bounds()
        if found < position or bounds.start > position:
            raise RefusedError(
                f"{self._source}: expected offset {position} and got {found}; the log begins at {bounds.start}: "
                "records were removed before they were processed"
            )

    async def _decide(self, batch: Batch) -> Decision:
        owners = await self._claim(batch)
        decision = decide(batch, owners, topics=self._config.topics, group=self._config.group)
        if decision.conflicts:
            await self._patiently(lambda: self._ports.state.note_conflicts(decision.conflicts))
        return decision

    async def _reclaim(self, batch: Batch) -> None:
        """Claim, and note conflicts, for records whose events and dead letters are committed already."""
        counted = self._counted_until
        claims = claims_of(batch, counted_until=counted)

        def conflicts_of(owners: Owners) -> Sequence[Conflict]:
            return decide(batch, owners, topics=self._config.topics, group=self._config.group).conflicts

        await self._patiently(
            lambda: self._ports.state.reclaim(
                batch.first, batch.next_offset, claims, conflicts_of, counted_until=counted
            )
        )
        self._counted_until = max(counted, batch.next_offset)

    async def _claim(self, batch: Batch) -> Owners:
        counted = self._counted_until
        claims = claims_of(batch, counted_until=counted)
        batch.steps.counted_until, batch.steps.claiming = counted, time.time_ns()
        with self._metrics.claim.time():
            owners = await self._patiently(
                lambda: self._ports.state.claim(batch.first, batch.next_offset, claims, counted_until=counted)
            )
        batch.steps.claimed = time.time_ns()
        self._counted_until = max(counted, batch.next_offset)
        return owners

    async def _patiently(self, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """Ask PostgreSQL until it answers: no transaction is open here, and the group keeps the partition."""
        wait, longest = STATE_RETRY_SECONDS
        while True:
            try:
                return await ask()
            except StateUnavailableError as error:
                self._metrics.retries.labels("state").inc()
                self._status.problem = PartitionProblem(str(error))
                log.warning("state.unavailable", partition=self._config.partition, reason=str(error), retry_in=wait)
                if await stopped_within(self._stop, wait):
                    raise
                wait = min(wait * 2, longest)

    async def _commit(self, batch: Batch, decision: Decision) -> None:
        batch.steps.committing = time.time_ns()
        with self._metrics.commit.time():
            await self._ports.output.commit(decision.outputs, batch.next_offset)
        batch.steps.committed = time.time_ns()
        self._status.pending.popleft()
        self._status.reach(batch.next_offset)
        self._status.problem = None
        self._measure(batch, decision)
        if self._tracer is not None and (records := select_traced(batch, decision.outcomes)):
            self._tracer.committed(batch, records)

    def _measure(self, batch: Batch, decision: Decision) -> None:
        now = time.time()
        self._metrics.batch.observe(len(batch.verdicts))
        for (type_label, outcome_label), count in count_by_labels(decision.outcomes).items():
            self._metrics.events.labels(type_label, outcome_label).inc(count)
        # Records of one append to the log have one time, so there are far fewer of these than records.
        times = Counter(zip(decision.outcomes, map(attrgetter("timestamp_ms"), batch.verdicts), strict=True))
        for (outcome, timestamp), count in times.items():
            match outcome:
                case Emit(event_type=event_type):
                    self._metrics.end_to_end.labels(event_type.value).observe(now - timestamp / 1000, count)
                case DeadLettered(reason=reason):
                    self._metrics.dead_letters.labels(reason.code.value).inc(count)
                case _:
                    pass

    async def _heal(self, start: int, end: int) -> None:
        """Claim [start, end) again without output: PostgreSQL is a view of the raw log and is made whole from it.

        Begins a batch before: the copy that PostgreSQL came back from may have its claims and not yet its conflicts.
        """
        log.warning("partition.healing", partition=self._config.partition, start=start, end=end)
        began, position = (
            time.monotonic(),
            max((await self._ports.raw.bounds()).start, start - self._config.max_records),
        )
        self._ports.raw.seek(position)
        self._counted_until = start
        while await self._ports.raw.position() < end and not self._stop.is_set():
            batch = await self._next(position, end)
            if batch is not None:
                await self._reclaim(batch)
                self._metrics.healed.inc(sum(verdict.offset >= start for verdict in batch.verdicts))
                position = batch.next_offset
        if not self._stop.is_set():
            await self._ports.state.claim(position, end, (), counted_until=end)  # what is left are transaction markers
            log.info("partition.healed", partition=self._config.partition, seconds=round(time.monotonic() - began, 3))


async def stopped_within(stop: asyncio.Event, seconds: float) -> bool:
    """Wait for `stop`, at most that long; whether it was set."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return False
    return True


async def _settle(task: asyncio.Task[None]) -> None:
    """Let a commit that is under way end: what it did is then known. Its own deadline bounds the wait."""
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        task.cancel()
        raise
    if not task.cancelled():
        task.exception()  # a failure was raised already, or the failure that brought us here outweighs it
