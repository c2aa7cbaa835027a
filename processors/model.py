"""The values that the processor's parts hand to each other. Nothing here decides or does anything."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from schemas.dead_letter import Reason
from schemas.headers import Headers
from schemas.identity import ClaimKey, EventType


class RawRecord(Protocol):
    """One record of the raw log, as the Kafka client gives it. `timestamp` is the broker's, in ms."""

    @property
    def offset(self) -> int: ...  # noqa: D102
    @property
    def timestamp(self) -> int: ...  # noqa: D102
    @property
    def key(self) -> bytes | None: ...  # noqa: D102
    @property
    def value(self) -> bytes | None: ...  # noqa: D102
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Bounds:
    """Offsets of one partition of the raw log: first one kept, and one past the last."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Normalized:
    """A valid record: its event and what it claims. `content_hash` is of the value, signed 64 bit."""

    event_type: EventType
    claim_key: ClaimKey
    value: bytes
    headers: Headers
    content_hash: int


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that cannot become an event."""

    reason: Reason


Verdict: TypeAlias = Normalized | Rejected


@dataclass(frozen=True, slots=True)
class Claim:
    """What a batch claims for one key: its smallest offset, and how many of its records are counted now.

    `records` counts only records never claimed before: a pass again over old records adds nothing.
    """

    key: ClaimKey
    offset: int
    time_ms: int
    content_hash: int
    records: int


@dataclass(frozen=True, slots=True)
class Owner:
    """Who owns a key, as the state table answers."""

    partition: int
    offset: int
    content_hash: int


@dataclass(frozen=True, slots=True)
class Conflict:
    """A duplicate whose content differs from its owner's."""

    key: ClaimKey
    offset: int
    time_ms: int


@dataclass(frozen=True, slots=True)
class Record:
    """One record to write."""

    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class Emit:
    """The record owns its key: its event is written."""

    event_type: EventType


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Another record owns the key; `conflict` says that the contents differ."""

    event_type: EventType
    conflict: bool


@dataclass(frozen=True, slots=True)
class DeadLettered:
    """The record cannot become an event."""

    reason: Reason


Outcome: TypeAlias = Emit | Duplicate | DeadLettered


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one partition that follow each other, each with its verdict; covers [first, next_offset)."""

    partition: int
    first: int
    next_offset: int
    records: Sequence[RawRecord]
    verdicts: Sequence[Verdict]


@dataclass(slots=True)
class Decision:
    """What a batch becomes: one outcome a record, records to write by topic in raw order, conflicts to note."""

    outcomes: list[Outcome] = field(default_factory=list)
    outputs: dict[str, list[Record]] = field(default_factory=dict)
    conflicts: list[Conflict] = field(default_factory=list)
