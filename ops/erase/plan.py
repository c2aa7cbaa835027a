"""Tells what an erasure finds, what goes, and what stays until when: pure.

Records of a topic with `cleanup.policy=delete` cannot be removed one by one: they leave with their segment. A claim
goes only when no record of its call is left in the raw log and in the dead letters. Until then a rewind or a replay may
read these records again, and without the claim a duplicate among them would be emitted as an event.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar

from ops.kit.claims import ClaimRow

UNLIMITED = -1  # Kafka's retention.ms for "never removed"
CHECK_MS = 5 * 60 * 1000  # log.retention.check.interval.ms of the brokers, as it is by default
#: What no command of ours reaches; part of every answer.
OUT_OF_REACH = (
    "files of `dead-letters export` and what people copied from --reveal",
    "the ingresses' spool (INGRESS_SPOOL_DIR), as long as a webhook waits in it",
    "backups of Kafka and PostgreSQL, and PostgreSQL's write-ahead log",
    "copies of the topics: mirrored clusters; tiered storage follows the topic's retention",
    "what consumers of the topics have stored",
    "Ringover itself",
)


@dataclass(frozen=True, slots=True)
class Keeping:
    """Tells how long a topic keeps records."""

    retention_ms: int
    segment_ms: int
    delete_delay_ms: int

    @classmethod
    def of(cls, config: Mapping[str, str]) -> "Keeping":
        """The values that the broker reports."""
        return cls(*(int(config[name]) for name in ("retention.ms", "segment.ms", "file.delete.delay.ms")))

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
    """Tells the records of a topic about the subject; never all gone, or none there: `gone_at_the_latest` is None."""

    topic: str
    records: int
    newest: datetime | None
    gone_at_the_latest: datetime | None


@dataclass(frozen=True, slots=True)
class CallState:
    """Tells what is left of a call: `sources`, records that can be read again (raw ones and dead letters), and rows.

    `erasable`: its rows can go, nothing that may be read again needs them any more.
    """

    call_id: str
    sources: int
    events: int
    claims: Sequence[ClaimRow]
    conflicts: int
    erasable: bool

    @property
    def rows(self) -> int:
        """Its rows in PostgreSQL."""
        return len(self.claims) + self.conflicts

    @property
    def left_afterwards(self) -> bool:
        """Whether something of it is still there once this erasure was carried out."""
        return bool(self.sources or self.events or (self.rows and not self.erasable))


def erasable(sources: int, claims: Iterable[ClaimRow], log_starts: Mapping[int, int]) -> bool:
    """Whether raw log (`log_starts`: where each partition begins) and dead letters have let go of a call."""
    return sources == 0 and all(claim.offset < log_starts[claim.partition] for claim in claims)


@dataclass(frozen=True, slots=True)
class ErasureRequest:
    """Holds an erasure that is not complete. `waiting`: retention has not had its time yet."""

    erasure_id: int
    who: str
    kind: str
    requested_at: datetime
    call_ids: Sequence[str]
    until: datetime | None
    waiting: bool


@dataclass(frozen=True, slots=True)
class RowCount:
    """Counts rows of PostgreSQL, and tells whether they stay."""

    what: str
    count: int
    kept: bool


@dataclass(frozen=True, slots=True)
class ErasePlan:
    """Tells what there is, in raw, call, recording and dead-letter topic; `subject` is fit to be shown."""

    also_in_json: ClassVar = ("rows", "remains", "gone_at_the_latest", "out_of_reach")
    out_of_reach: ClassVar = OUT_OF_REACH

    subject: str
    topics: Sequence[Holding]
    calls: Sequence[CallState]
    log_starts: Mapping[int, int]
    requests: Sequence[ErasureRequest] = ()

    @property
    def known(self) -> bool:
        return any(holding.records for holding in self.topics) or any(call.rows for call in self.calls)

    @property
    def erasable(self) -> list[CallState]:
        """Calls whose rows go now; the others' stay until raw log and dead letters have let go of them."""
        return [call for call in self.calls if call.rows and call.erasable]

    @property
    def rows(self) -> list[RowCount]:
        """Rows that go, and rows that stay."""
        counted = []
        for kept in (False, True):
            calls = [call for call in self.calls if call.erasable != kept]
            counted.append(RowCount("claims", sum(len(call.claims) for call in calls), kept))
            counted.append(RowCount("conflicts", sum(call.conflicts for call in calls), kept))
        return [row for row in counted if row.count]

    @property
    def remains(self) -> bool:
        """Whether anything is left once this was carried out."""
        return any(holding.records for holding in self.topics) or any(row.kept for row in self.rows)

    @property
    def for_ever(self) -> bool:
        """Whether retention never removes some of it."""
        return any(holding.records and holding.gone_at_the_latest is None for holding in self.topics)

    @property
    def gone_at_the_latest(self) -> datetime | None:
        """When retention has removed all of it; None: never, or nothing is in the topics."""
        times = [holding.gone_at_the_latest for holding in self.topics if holding.gone_at_the_latest is not None]
        return None if self.for_ever else max(times, default=None)
