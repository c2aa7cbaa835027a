"""Collects what the demo saw in the topics and the state table, and measures it: pure views over records."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from ops.kit.record_view import RecordView
from ops.send.webhook import WebhookAnswer
from schemas.dead_letter import DeadLetter
from schemas.headers import RECEIVED_AT, EventHeaders, header
from schemas.topics import TopicNames


@dataclass(frozen=True, slots=True)
class SeenEvent:
    """Holds a normalized event, and when (seconds since 1970) a read-committed consumer saw it."""

    record: RecordView
    headers: EventHeaders
    seen_at: float

    @property
    def source(self) -> tuple[int, int]:
        """Partition and offset of the raw record that owns it."""
        _topic, partition, offset = self.headers.source_offset.rsplit("/", 2)
        return int(partition), int(offset)


@dataclass(frozen=True, slots=True)
class SeenDead:
    """Holds a dead letter."""

    record: RecordView
    letter: DeadLetter


@dataclass(slots=True)
class SeenRecords:
    """Holds everything that a consumer of all topics has seen so far."""

    topics: TopicNames
    events: list[SeenEvent] = field(default_factory=list)
    dead: list[SeenDead] = field(default_factory=list)
    raw: list[RecordView] = field(default_factory=list)

    def add(self, record: RecordView, *, now: float) -> None:
        if record.topic == self.topics.raw:
            self.raw.append(record)
        elif record.topic == self.topics.dead_letter:
            self.dead.append(SeenDead(record, DeadLetter.decode(record.headers)))
        else:
            self.events.append(SeenEvent(record, EventHeaders.decode(record.headers), now))


@dataclass(frozen=True, slots=True)
class StateRow:
    """Is one claim: its key, and how many records of the log have it."""

    key: str
    records: int


@dataclass(frozen=True, slots=True)
class Observed:
    """Holds what was observed of the whole run; `answers` are the scenario's, in order.

    `posting_seconds` is how long the load took to be acknowledged.
    """

    answers: Sequence[WebhookAnswer]
    load_answers: Sequence[WebhookAnswer]
    seen: SeenRecords
    claims: Sequence[StateRow]
    conflicts: Sequence[str]
    lag_records: int
    posting_seconds: float


@dataclass(frozen=True, slots=True)
class LoadRates:
    """Holds what was measured over the load."""

    webhooks: int
    webhooks_per_second: float
    events: int
    events_per_second: float
    p50_seconds: float
    p99_seconds: float


def rates(observed: Observed, *, call_prefix: str) -> LoadRates:
    """Measure rates and end-to-end times of the calls whose id begins with `call_prefix`."""
    events = [event for event in observed.seen.events if event.headers.subject.startswith(call_prefix)]
    received = {(record.partition, record.offset): _received_at(record) for record in observed.seen.raw}
    delays = sorted(event.seen_at - received[event.source] for event in events if event.source in received)
    span = 0.0
    if events and delays:
        first = min(received[event.source] for event in events if event.source in received)
        span = max(event.seen_at for event in events) - first
    count = len(observed.load_answers)
    return LoadRates(
        webhooks=count,
        webhooks_per_second=count / observed.posting_seconds if observed.posting_seconds else 0.0,
        events=len(events),
        events_per_second=len(events) / span if span else 0.0,
        p50_seconds=_quantile(delays, 0.50),
        p99_seconds=_quantile(delays, 0.99),
    )


def _received_at(record: RecordView) -> float:
    text = header(record.headers, RECEIVED_AT) or b""
    return datetime.fromisoformat(text.decode()).timestamp()


def _quantile(ordered: Sequence[float], fraction: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * fraction))] if ordered else 0.0
