"""In-memory versions of the processor's ports, held to the same contract suites as the real ones.

A `MemoryKafka` and a `MemoryDatabase` are the world that outlives a process; ports of one process share a `Hooks`, by
which a test makes any step wait, fail, or be the process's last.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TypeVar

from processors.model import Bounds, Claim, Conflict, Owner, Owners, Written
from runtime.errors import PublishError, RefusedError, StateBehindError
from schemas.identity import ClaimKey
from tests.support.broker import MemoryKafka, StoredRecord

IDLE_SECONDS = 0.001  # how long an empty fetch waits


class CrashError(Exception):
    """The process was killed at this step: what it had not made durable is gone."""


class Step(StrEnum):
    """Where a hook can be: before a port's call has any effect, or (past participle) right after."""

    COMMITTED = "log.committed"
    SHOWN = "log.shown"
    BOUNDS = "log.bounds"
    POSITION = "log.position"
    FETCH = "log.fetch"
    PROGRESS = "state.progress"
    OPEN = "state.open"
    CLAIM = "state.claim"
    CLAIMED = "state.claimed"
    CONFLICTS = "state.conflicts"
    START = "output.start"
    COMMIT = "output.commit"
    SEND = "output.send"
    RECORD = "output.record"
    OFFSETS = "output.offsets"
    END = "output.end"
    COMMIT_DONE = "output.commit_done"


Hook = Callable[[], Awaitable[None]]
Answer = TypeVar("Answer")


class Hooks:
    """The steps that one process has reached, in order, and what happens at some of them."""

    def __init__(self) -> None:
        self.reached: list[Step] = []
        self.crashed = False
        self._hooks: dict[Step, Hook] = {}
        self._crash_at: int | None = None

    def at(self, step: Step, hook: Hook) -> None:
        """Await `hook` whenever `step` is reached; it may raise."""
        self._hooks[step] = hook

    def remove(self, step: Step) -> None:
        self._hooks.pop(step, None)

    def crash(self) -> None:
        """From now on every step raises, for every task of the process."""
        self.crashed = True

    def crash_at_call(self, number: int) -> None:
        """Crash at the `number`th step reached, counted from 0."""
        self._crash_at = number

    async def call(self, step: Step, effect: Callable[[], Answer], done: Step | None = None) -> Answer:
        """One request of a port: `step` before its effect on the world, `done` before its answer arrives."""
        await self.reach(step)
        answer = effect()
        if done is not None:
            await self.reach(done)
        return answer

    async def reach(self, step: Step) -> None:
        if len(self.reached) == self._crash_at:
            self.crash()
        self.reached.append(step)
        await asyncio.sleep(0)  # as a real call would, let others run
        if not self.crashed and step in self._hooks:
            await self._hooks[step]()
        if self.crashed:
            raise CrashError(step)


class Gate:
    """A hook that holds whoever reaches it until it is opened."""

    def __init__(self) -> None:
        self.held = asyncio.Event()
        self._open = asyncio.Event()

    async def __call__(self) -> None:
        self.held.set()
        await self._open.wait()

    def open(self) -> None:
        self._open.set()


class MemoryLog:
    """See ports.RawLog."""

    def __init__(self, kafka: MemoryKafka, hooks: Hooks) -> None:
        self._kafka = kafka
        self._hooks = hooks
        self._position: int | None = None

    async def committed(self) -> int | None:
        return await self._hooks.call(Step.COMMITTED, self._kafka.read_committed)

    async def shown(self) -> int | None:
        return await self._hooks.call(Step.SHOWN, lambda: self._kafka.shown)

    async def bounds(self) -> Bounds:
        return await self._hooks.call(Step.BOUNDS, lambda: Bounds(self._kafka.start, self._kafka.end))

    def seek(self, offset: int) -> None:
        self._position = offset

    async def position(self) -> int:
        return await self._hooks.call(Step.POSITION, self._known_position)

    async def fetch(self, max_records: int, *, wait: bool = True) -> Sequence[StoredRecord]:
        found = await self._hooks.call(Step.FETCH, lambda: self._next(max_records))
        if wait and not found:
            await asyncio.sleep(IDLE_SECONDS)
        return found

    def _known_position(self) -> int:
        assert self._position is not None, "seek comes first"
        return self._position

    def _next(self, max_records: int) -> Sequence[StoredRecord]:
        position = self._known_position()
        if not self._kafka.start <= position <= self._kafka.end:
            raise RefusedError("the position is no longer in the log")
        found = [record for record in self._kafka.records if record.offset >= position][:max_records]
        self._position = found[-1].offset + 1 if found else self._kafka.end  # past markers
        return found


@dataclass(frozen=True, slots=True)
class ClaimRow:
    """One row of the claim table."""

    partition: int
    offset: int
    time_ms: int
    content_hash: int
    records: int


@dataclass
class MemoryDatabase:
    """What PostgreSQL holds, for every log."""

    claims: dict[tuple[str, ClaimKey], ClaimRow] = field(default_factory=dict)
    progress: dict[tuple[str, int], int] = field(default_factory=dict)
    conflicts: dict[tuple[str, int, int], ClaimKey] = field(default_factory=dict)
    restores: int = 0
    # Of all logs, since commits were lost: offsets claimed by a statement that did not note their conflicts, too.
    claimed_alone: set[int] = field(default_factory=set)

    def backup(self) -> "MemoryDatabase":
        return MemoryDatabase(dict(self.claims), dict(self.progress), dict(self.conflicts))

    def restore(self, backup: "MemoryDatabase") -> None:
        """Lose everything since `backup`, as an older copy or a failover does."""
        self.roll_back(backup)
        self.restores += 1

    def roll_back(self, backup: "MemoryDatabase") -> None:
        """End a transaction that began at `backup`."""
        kept = backup.backup()
        self.claims, self.progress, self.conflicts = kept.claims, kept.progress, kept.conflicts


class MemoryState:
    """See ports.State. Each statement happens at once, as an autocommit statement under its locks does."""

    def __init__(self, database: MemoryDatabase, log: str, partition: int, hooks: Hooks) -> None:
        self._database = database
        self._log = log
        self._partition = partition
        self._hooks = hooks

    async def progress(self) -> int | None:
        place = (self._log, self._partition)
        return await self._hooks.call(Step.PROGRESS, lambda: self._database.progress.get(place))

    async def open(self, next_offset: int) -> None:
        await self._hooks.call(Step.OPEN, lambda: self._advance(next_offset))

    async def claim(
        self, first: int, next_offset: int, claims: Sequence[Claim], *, counted_until: int | None = None
    ) -> Owners:
        def claim_all() -> Owners:
            owners = self._claim_all(first, next_offset, claims, counted_until)
            if self._database.restores:
                self._database.claimed_alone.update(range(first, next_offset))
            return owners

        return await self._hooks.call(Step.CLAIM, claim_all, Step.CLAIMED)

    async def reclaim(
        self,
        first: int,
        next_offset: int,
        claims: Sequence[Claim],
        conflicts_of: Callable[[Owners], Sequence[Conflict]],
        *,
        counted_until: int | None = None,
    ) -> None:
        def claim_and_note() -> None:
            before = self._database.backup()
            try:
                self._note(conflicts_of(self._claim_all(first, next_offset, claims, counted_until)))
            except BaseException:
                self._database.roll_back(before)
                raise

        await self._hooks.call(Step.CLAIM, claim_and_note, Step.CLAIMED)

    async def note_conflicts(self, conflicts: Sequence[Conflict]) -> None:
        await self._hooks.call(Step.CONFLICTS, lambda: self._note(conflicts))

    def _claim_all(self, first: int, next_offset: int, claims: Sequence[Claim], counted_until: int | None) -> Owners:
        progress = self._database.progress.get((self._log, self._partition))
        if progress is None or progress < first:
            raise StateBehindError(f"progress is {progress}, records from {first} cannot be claimed")
        self._advance(next_offset)
        uncounted = progress <= (first if counted_until is None else counted_until)
        owners = {claim.key: self._claim(claim, claim.records if uncounted else 0) for claim in claims}
        assert len(owners) == len(claims), "one claim per key"
        return owners

    def _note(self, conflicts: Sequence[Conflict]) -> None:
        for conflict in conflicts:
            self._database.conflicts.setdefault((self._log, self._partition, conflict.offset), conflict.key)

    def _advance(self, next_offset: int) -> None:
        place = (self._log, self._partition)
        self._database.progress[place] = max(next_offset, self._database.progress.get(place, 0))

    def _claim(self, claim: Claim, records: int) -> Owner:
        row = self._database.claims.get((self._log, claim.key))
        if row is None:
            row = ClaimRow(self._partition, claim.offset, claim.time_ms, claim.content_hash, 0)
        self._database.claims[self._log, claim.key] = replace(row, records=row.records + records)
        return Owner(row.partition, row.offset, row.content_hash)


class MemoryOutput:
    """See ports.Output; the requests of one transaction in the order in which processors.kafka_output sends them."""

    def __init__(self, kafka: MemoryKafka, hooks: Hooks) -> None:
        self._kafka = kafka
        self._hooks = hooks
        self._epoch = 0

    async def start(self) -> None:
        await self._hooks.call(Step.START, self._init)

    async def commit(self, records: Mapping[str, Sequence[Written]], next_offset: int) -> None:
        await self._hooks.reach(Step.COMMIT)
        refused = [error for topic, of_topic in records.items() if (error := await self._send(topic, of_topic))]
        if refused:
            raise refused[0]
        await self._hooks.call(Step.RECORD, lambda: self._kafka.add_record(self._epoch, next_offset))
        await self._hooks.call(Step.OFFSETS, lambda: self._kafka.add_offset(self._epoch, next_offset))
        await self._hooks.call(Step.END, lambda: self._kafka.end_transaction(self._epoch), Step.COMMIT_DONE)

    async def stop(self) -> None:
        """Nothing to let go of."""

    def _init(self) -> None:
        self._epoch = self._kafka.init_producer()

    async def _send(self, topic: str, records: Sequence[Written]) -> PublishError | None:
        """A future that fails, as the client gives it: the broker would commit the rest all the same."""
        try:
            await self._hooks.call(Step.SEND, lambda: self._kafka.produce(self._epoch, topic, records))
        except PublishError as error:
            return error
        return None
