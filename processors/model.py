"""Defines the values that the processor's parts hand to each other; nothing here decides or does anything.

What comes once a record is a named tuple: quicker to make than a frozen dataclass.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeAlias

from schemas.dead_letter import Reason
from schemas.events import EventType
from schemas.headers import AnyHeaders, Headers, encode_event
from schemas.identity import ClaimKey, derived_event_id, idempotency_key


class RawRecord(Protocol):
    """Is one record of the raw log, as the Kafka client gives it. `timestamp` is the broker's, in ms."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> AnyHeaders: ...


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds one partition of the raw log: its first offset that is kept, and one past the last."""

    start: int
    end: int


class Written(Protocol):
    """Is a record to write. `timestamp_ms` is the raw record's."""

    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> AnyHeaders: ...
    @property
    def timestamp_ms(self) -> int: ...


class Record(NamedTuple):
    """Is a record to write whose headers are at hand."""

    key: bytes | None
    value: bytes | None
    headers: AnyHeaders
    timestamp_ms: int


class Normalized(NamedTuple):
    """Is a valid record: the event to write if it owns its key, and what it claims.

    `content_hash` is of the value and of the numbers beside it, signed 64 bit. `part_id`: see EventType.part.
    `event_id` None: the body brings none. `timestamp` as written in the body, `time` is the same in UTC. `source` is
    `topic/partition` of the raw log; `offset` and `timestamp_ms` are the raw record's. `from_number`, `to_number`: as
    received, where they have no E.164 form.

    The headers are made when they are asked for: duplicates never need them, and a batch's would fill more memory than
    all else of it.
    """

    event_type: EventType
    claim_key: ClaimKey
    content_hash: int
    key: bytes
    value: bytes
    call_id: str
    part_id: str | None
    event_id: str | None
    timestamp: str
    time: str
    traceparent: bytes | None
    source: str
    offset: int
    timestamp_ms: int
    from_number: str | None = None
    to_number: str | None = None

    @property
    def headers(self) -> Headers:
        same = "%" not in self.claim_key  # which is the idempotency key, unless something in it is escaped
        return encode_event(
            event_type=self.event_type,
            event_id=self.event_id or derived_event_id(self.event_type, self.call_id, self.timestamp),
            subject=self.call_id,
            time=self.time,
            idempotency_key=self.claim_key if same else idempotency_key(self.event_type, self.call_id, self.part_id),
            source_offset=f"{self.source}/{self.offset}",
            traceparent=self.traceparent,
            from_number=self.from_number,
            to_number=self.to_number,
        )


class Rejected(NamedTuple):
    """Is a record that cannot become an event."""

    reason: Reason
    record: RawRecord

    @property
    def offset(self) -> int:
        return self.record.offset

    @property
    def timestamp_ms(self) -> int:
        return self.record.timestamp


Verdict: TypeAlias = Normalized | Rejected


class Claim(NamedTuple):
    """Claims one key for a batch: its smallest offset, and how many of its records are counted now.

    `records` counts only records never claimed before: a pass again over old records adds nothing.
    """

    key: ClaimKey
    offset: int
    time_ms: int
    content_hash: int
    records: int


class Owner(NamedTuple):
    """Says who owns a key, as the state table answers."""

    partition: int
    offset: int
    content_hash: int


# Who owns each key of a batch. Plain tuples do, too: they are made at once for all that a batch claims.
Owners: TypeAlias = Mapping[ClaimKey, tuple[int, int, int]]


class Conflict(NamedTuple):
    """Is a duplicate whose content differs from its owner's."""

    key: ClaimKey
    offset: int
    time_ms: int


class Emit(NamedTuple):
    """The record owns its key: its event is written."""

    event_type: EventType


class Duplicate(NamedTuple):
    """Another record owns the key; `conflict` says that the contents differ."""

    event_type: EventType
    conflict: bool


class DeadLettered(NamedTuple):
    """The record cannot become an event."""

    reason: Reason


Outcome: TypeAlias = Emit | Duplicate | DeadLettered


@dataclass(slots=True)
class Steps:
    """Times the steps of a batch, in ns since the epoch; 0: not yet.

    `counted_until`: when it was claimed, records below this offset had been before.
    """

    fetched: int = 0
    claiming: int = 0
    claimed: int = 0
    committing: int = 0
    committed: int = 0
    counted_until: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """Holds the verdicts on records of one partition that follow each other; covers [first, next_offset).

    Of the raw records only those are kept that become dead letters: they would take half of the memory.
    """

    partition: int
    first: int
    next_offset: int
    verdicts: Sequence[Verdict]
    steps: Steps = field(default_factory=Steps)


@dataclass(slots=True)
class Decision:
    """Holds what a batch becomes: one outcome a record, records to write by topic in raw order, conflicts to note."""

    outcomes: list[Outcome] = field(default_factory=list)
    outputs: dict[str, list[Written]] = field(default_factory=lambda: defaultdict(list))
    conflicts: list[Conflict] = field(default_factory=list)
