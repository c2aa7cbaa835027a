"""What an erasure finds, what goes and what stays until when: pure.

Records of a topic with `cleanup.policy=delete` cannot be removed one by one: they leave with their segment. A claim
goes only when no record of its call is left in the raw log and in the dead letters. Until then a rewind or a replay may
read these records again, and without the claim a duplicate among them would be emitted as an event.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ops.kit.claims import ClaimRow

UNLIMITED = -1  # Kafka's retention.ms for "never removed"
CHECK_MS = 5 * 60 * 1000  # log.retention.check.interval.ms of the brokers, as it is by default


@dataclass(frozen=True, slots=True)
class Keeping:
    """How long a topic keeps records, from its configuration."""

    retention_ms: int
    segment_ms: int
    delete_delay_ms: int

    @classmethod
    def of(cls, config: Mapping[str, str]) -> "Keeping":
        """From the values that the broker reports."""
        names = ("retention.ms", "segment.ms", "file.delete.delay.ms")
        return cls(*(int(config[name]) for name in names))

    def until(self, peak_ms: int) -> datetime | None:
        """When a record is gone at the latest; None: never.

        `peak_ms` is the highest timestamp of its partition up to and including it, transaction markers included. A
        segment goes as a whole, once its newest record is past the retention; that one is at most `segment.ms` newer
        than the segment's first, which stands before our record or is it.
        """
        if self.retention_ms == UNLIMITED:
            return None
        last = peak_ms + self.segment_ms + self.retention_ms + CHECK_MS + self.delete_delay_ms
        return datetime.fromtimestamp(last / 1000, UTC)


@dataclass(frozen=True, slots=True)
class Holding:
    """Records of one topic about the subject. `until`: all are gone by then; None: never, or there are none."""

    topic: str
    records: int
    newest: datetime | None
    until: datetime | None


@dataclass(frozen=True, slots=True)
class CallState:
    """One call: `sources` are its records that can be read again, raw ones and dead letters; and its rows.

    `log_starts`: where each partition of the raw log begins.
    """

    call_id: str
    sources: int
    events: int
    claims: Sequence[ClaimRow]
    conflicts: int
    log_starts: Mapping[int, int]

    @property
    def erasable(self) -> bool:
        """Whether its rows can go: nothing that may be read again needs them any more."""
        return self.sources == 0 and all(claim.offset < self.log_starts[claim.partition] for claim in self.claims)

    @property
    def rows(self) -> int:
        """Its rows in PostgreSQL."""
        return len(self.claims) + self.conflicts

    @property
    def left_afterwards(self) -> bool:
        """Whether something of it is still there once this erasure was carried out."""
        return bool(self.sources or self.events or (self.rows and not self.erasable))


@dataclass(frozen=True, slots=True)
class ErasePlan:
    """What there is. `holdings`: raw, call, recording, dead letters; `subject` is fit to be shown."""

    subject: str
    holdings: tuple[Holding, ...]
    calls: tuple[CallState, ...]

    @property
    def known(self) -> bool:
        """Whether anything was found."""
        return any(holding.records for holding in self.holdings) or any(call.rows for call in self.calls)

    @property
    def erasable(self) -> tuple[CallState, ...]:
        """Calls whose rows go now."""
        return tuple(call for call in self.calls if call.rows and call.erasable)

    @property
    def kept(self) -> tuple[CallState, ...]:
        """Calls whose rows stay until raw log and dead letters have let go of them."""
        return tuple(call for call in self.calls if call.rows and not call.erasable)

    @property
    def remains(self) -> bool:
        """Whether anything is left once this was carried out."""
        return any(holding.records for holding in self.holdings) or bool(self.kept)

    @property
    def for_ever(self) -> bool:
        """Whether retention never removes some of it."""
        return any(holding.records and holding.until is None for holding in self.holdings)

    @property
    def until(self) -> datetime | None:
        """When retention has removed all of it at the latest; None: never, or nothing is in the topics."""
        times = [holding.until for holding in self.holdings if holding.until is not None]
        return None if self.for_ever else max(times, default=None)
