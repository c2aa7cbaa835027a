"""In-memory versions of the processor's ports, held to the same contract suites as the real ones.

A `MemoryKafka` and a `MemoryDatabase` are the world that outlives a process; ports of one process share a `Hooks`, by
which a test makes any step wait, fail, or be the process's last.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from enum import StrEnum

from processors.model import Bounds, Claim, Conflict, Owner, Record
from runtime.errors import FencedError, RefusedError, StateBehindError
from schemas.headers import Headers
from schemas.identity import ClaimKey
from tests.support.reference_model import Raw

IDLE_SECONDS = 0.001  # how long an empty fetch waits


class CrashError(Exception):
    """The process was killed at this step: what it had not made durable is gone."""


class Step(StrEnum):
    """Where a hook can be: before a port's call has any effect, or (past participle) right after."""

    COMMITTED = "log.committed"
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
    COMMIT_DONE = "output.commit_done"


Hook = Callable[[], Awaitable[None]]


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


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """One record of the raw log."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


@dataclass
class MemoryKafka:
    """One partition of the raw log, the group's offset in it, its fence, and what was committed to the topics."""

    partition: int = 0
    records: list[StoredRecord] = field(default_factory=list)
    start: int = 0
    end: int = 0
    committed: int | None = None
    epoch: int = 0
    written: dict[str, list[Record]] = field(default_factory=dict)
    commits: list[int] = field(default_factory=list)

    def append(self, key: bytes | None, value: bytes | None, headers: Headers) -> int:
        offset = self.end
        self.records.append(StoredRecord(offset, 1_767_366_000_000 + offset, key, value, tuple(headers)))
        self.end += 1
        return offset

    def mark(self) -> None:
        """A transaction marker: an offset that no fetch returns."""
        self.end += 1

    def remove_before(self, offset: int) -> None:
        """What retention does."""
        self.start = offset
        self.records = [record for record in self.records if record.offset >= offset]

    @property
    def drained(self) -> bool:
        """Whether every record is below the group's committed offset."""
        return self.committed is not None and not any(r.offset >= self.committed for r in self.records)

    def as_raw(self) -> list[Raw]:
        """The log for the reference model."""
        return [Raw(self.partition, r.offset, r.key, r.value or b"", tuple(r.headers)) for r in self.records]


class MemoryLog:
    """See ports.RawLog."""

    def __init__(self, kafka: MemoryKafka, hooks: Hooks) -> None:
        self._kafka = kafka
        self._hooks = hooks
        self._position: int | None = None

    async def committed(self) -> int | None:
        await self._hooks.reach(Step.COMMITTED)
        return self._kafka.committed

    async def bounds(self) -> Bounds:
        await self._hooks.reach(Step.BOUNDS)
        return Bounds(self._kafka.start, self._kafka.end)

    def seek(self, offset: int) -> None:
        self._position = offset

    async def position(self) -> int:
        await self._hooks.reach(Step.POSITION)
        assert self._position is not None, "seek comes first"
        return self._position

    async def fetch(self, max_records: int) -> Sequence[StoredRecord]:
        await self._hooks.reach(Step.FETCH)
        assert self._position is not None, "seek comes first"
        if not self._kafka.start <= self._position <= self._kafka.end:
            raise RefusedError("the position is no longer in the log")
        found = [record for record in self._kafka.records if record.offset >= self._position][:max_records]
        if not found:
            self._position = self._kafka.end  # past markers
            await asyncio.sleep(IDLE_SECONDS)
            return []
        self._position = found[-1].offset + 1
        return found


@dataclass
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

    def backup(self) -> "MemoryDatabase":
        return deepcopy(self)

    def restore(self, backup: "MemoryDatabase") -> None:
        """Lose everything since `backup`."""
        kept = deepcopy(backup)
        self.claims, self.progress, self.conflicts = kept.claims, kept.progress, kept.conflicts


class MemoryState:
    """See ports.State. Each statement happens at once, as an autocommit statement under its locks does."""

    def __init__(self, database: MemoryDatabase, log: str, partition: int, hooks: Hooks) -> None:
        self._database = database
        self._log = log
        self._partition = partition
        self._hooks = hooks

    async def progress(self) -> int | None:
        await self._hooks.reach(Step.PROGRESS)
        return self._database.progress.get((self._log, self._partition))

    async def open(self, next_offset: int) -> None:
        await self._hooks.reach(Step.OPEN)
        self._advance(next_offset)

    async def claim(
        self, first: int, next_offset: int, claims: Sequence[Claim], *, counted_until: int | None = None
    ) -> Mapping[ClaimKey, Owner]:
        await self._hooks.reach(Step.CLAIM)
        owners = self._claim_all(first, next_offset, claims, counted_until)
        await self._hooks.reach(Step.CLAIMED)
        return owners

    async def reclaim(
        self,
        first: int,
        next_offset: int,
        claims: Sequence[Claim],
        conflicts_of: Callable[[Mapping[ClaimKey, Owner]], Sequence[Conflict]],
        *,
        counted_until: int | None = None,
    ) -> None:
        await self._hooks.reach(Step.CLAIM)
        before = self._database.backup()
        try:
            self._note(conflicts_of(self._claim_all(first, next_offset, claims, counted_until)))
        except BaseException:
            self._database.restore(before)
            raise
        await self._hooks.reach(Step.CLAIMED)

    def _claim_all(
        self, first: int, next_offset: int, claims: Sequence[Claim], counted_until: int | None
    ) -> Mapping[ClaimKey, Owner]:
        progress = self._database.progress.get((self._log, self._partition))
        if progress is None or progress < first:
            raise StateBehindError(f"progress is {progress}, records from {first} cannot be claimed")
        self._advance(next_offset)
        uncounted = progress <= (first if counted_until is None else counted_until)
        owners = {claim.key: self._claim(claim, claim.records if uncounted else 0) for claim in claims}
        assert len(owners) == len(claims), "one claim per key"
        return owners

    async def note_conflicts(self, conflicts: Sequence[Conflict]) -> None:
        await self._hooks.reach(Step.CONFLICTS)
        self._note(conflicts)

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
            self._database.claims[self._log, claim.key] = row
        row.records += records
        return Owner(row.partition, row.offset, row.content_hash)


class MemoryOutput:
    """See ports.Output."""

    def __init__(self, kafka: MemoryKafka, hooks: Hooks) -> None:
        self._kafka = kafka
        self._hooks = hooks
        self._epoch = 0

    async def start(self) -> None:
        await self._hooks.reach(Step.START)
        self._kafka.epoch += 1
        self._epoch = self._kafka.epoch

    async def commit(self, records: Mapping[str, Sequence[Record]], next_offset: int) -> None:
        await self._hooks.reach(Step.COMMIT)
        if self._epoch != self._kafka.epoch:
            raise FencedError("another process took the partition over")
        for topic, of_topic in records.items():
            self._kafka.written.setdefault(topic, []).extend(of_topic)
        self._kafka.committed = next_offset
        self._kafka.commits.append(next_offset)
        await self._hooks.reach(Step.COMMIT_DONE)

    async def stop(self) -> None:
        """Nothing to let go of."""
