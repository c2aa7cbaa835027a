"""Declares what the pipeline needs of the world; adapters and the tests' in-memory versions fulfil the protocols."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from processors.model import Batch, Bounds, Claim, Conflict, Owners, RawRecord, Written
from processors.trace_selection import TracedRecord


class RawLog(Protocol):
    """Reads one partition of the raw log."""

    async def committed(self) -> int | None:
        """The offset of the last `Output.commit`; None if there never was one. Raises TransientError.

        Waits for a commit that is under way.
        """
        ...

    async def shown(self) -> int | None:
        """The group's committed offset as Kafka's tools see it; may be outdated. Raises TransientError."""
        ...

    async def bounds(self) -> Bounds:
        """Where the partition begins and ends now. Raises TransientError."""
        ...

    def seek(self, offset: int) -> None:
        """Begin the next fetch at `offset`."""
        ...

    async def position(self) -> int:
        """The offset of the next fetch; past transaction markers, which no fetch returns."""
        ...

    async def fetch(self, max_records: int, *, wait: bool = True) -> Sequence[RawRecord]:
        """Fetch the next records in order; empty when none came within a fraction of a second, or none is at hand.

        `wait` False: only what was read from the broker already, so fewer than `max_records` are all of it.

        Raises:
            TransientError: the broker reported an error.
            RefusedError: the position is no longer in the log.
        """
        ...


class State(Protocol):
    """Keeps the claims of one partition. Every method raises StateUnavailableError when it cannot be answered."""

    async def progress(self) -> int | None:
        """Everything below this offset has been claimed; None if nothing is known of the partition."""
        ...

    async def open(self, next_offset: int) -> None:
        """Note that claiming starts at `next_offset`, the log's start; never moves a known progress back."""
        ...

    async def claim(
        self, first: int, next_offset: int, claims: Sequence[Claim], *, counted_until: int | None = None
    ) -> Owners:
        """Claim all keys of the records in [first, next_offset) at once, and answer who owns each.

        `claims` has one entry per key. Idempotent: an owner that claims again stays the owner. The claims' `records`
        are added only if progress has not passed `counted_until` (default `first`): a claim repeated after a lost
        answer counts once.

        Raises:
            StateBehindError: records before `first` have not been claimed; nothing was written.
        """
        ...

    async def reclaim(
        self,
        first: int,
        next_offset: int,
        claims: Sequence[Claim],
        conflicts_of: Callable[[Owners], Sequence[Conflict]],
        *,
        counted_until: int | None = None,
    ) -> None:
        """Claim, and note the conflicts that the owners show, both or neither; raises as `claim`.

        For records whose outcome is committed in Kafka: nobody will judge them again, so a crash between the two would
        lose the conflicts.
        """
        ...

    async def note_conflicts(self, conflicts: Sequence[Conflict]) -> None:
        """Keep duplicates whose content differs from their owner's, for operators. Idempotent."""
        ...


class RecordTracer(Protocol):
    """Traces how records were processed."""

    def committed(self, batch: Batch, records: Sequence[TracedRecord]) -> None:
        """Note that a batch is committed, of which `records` are traced. Takes no time to speak of, never raises."""
        ...


class Output(Protocol):
    """Writes the output of one partition in transactions; one object is used for one takeover and then thrown away."""

    async def start(self) -> None:
        """Fence every earlier owner of the partition and end its open transaction. Raises TransientError."""
        ...

    async def commit(self, records: Mapping[str, Sequence[Written]], next_offset: int) -> None:
        """Write records (by topic) and the offset in one transaction.

        Raises:
            FencedError: another process owns the partition now.
            PublishError: the outcome is not known; this object must not be used again.
        """
        ...

    async def stop(self) -> None:
        """Let go of connections within some seconds; never raises."""
        ...
