"""Compares one partition with an index of what the topics hold, batch by batch in raw order: pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from ops.diff.index import OutputIndex, fingerprint
from ops.diff.model import AGREEING, HEADER, DiffKind, DiffResult, Example, FieldChange, OutputEvent, Transition
from processors.model import Normalized, Owner, RawRecord, Record, Rejected, Verdict
from schemas.identity import ClaimKey
from schemas.topics import TopicNames


@dataclass(slots=True)
class PartitionDiff:
    """Feeds the result with the records of one partition from `start` on, and with so many examples at most.

    The claims decide who owns a key, as they do in a rewind; a key without a claim belongs to its first valid record.
    `pending` are examples of changed events, with today's: their bytes on the topic are still to be read.
    """

    index: OutputIndex
    names: TopicNames
    result: DiffResult
    partition: int
    start: int
    examples: int
    pending: list[tuple[Example, OutputEvent]] = field(default_factory=list)
    _taken: set[int] = field(default_factory=set)  # hashes of the keys that have their owner in the range

    def feed(self, records: Sequence[RawRecord], verdicts: Sequence[Verdict], claims: Mapping[ClaimKey, Owner]) -> None:
        """Count the next records; the first that differ become examples, changed events pending ones.

        `claims` has every claim of the verdicts' keys.
        """
        for record, verdict in zip(records, verdicts, strict=True):
            output = self._output(record, verdict, claims)
            transition = self._transition(record, verdict, output)
            self.result.add(transition)
            if transition.kind in AGREEING or len(self.result.examples) + len(self.pending) >= self.examples:
                continue
            example = Example(self.partition, record.offset, _text(record.key), transition)
            if transition.kind is DiffKind.CHANGED and output is not None:
                self.pending.append((example, output))
            else:
                self.result.examples.append(example)

    def _output(self, record: RawRecord, verdict: Verdict, claims: Mapping[ClaimKey, Owner]) -> OutputEvent | None:
        """The event that today's code makes of a record; None for a dead letter or a duplicate."""
        if not isinstance(verdict, Normalized):
            return None
        claim = claims.get(verdict.claim_key)
        first = self._is_first(verdict.claim_key, claim)
        owns = first if claim is None else (claim.partition, claim.offset) == (self.partition, record.offset)
        self.result.owners_moved += owns != first
        if not owns:
            return None
        event = Record(record.key, verdict.value, verdict.headers, record.timestamp)
        return OutputEvent(self.names.of(verdict.event_type.topic), event)

    def _is_first(self, key: ClaimKey, claim: Owner | None) -> bool:
        """Whether this is the key's first record that is valid today: its owner, if the claims were rebuilt."""
        hashed = hash(key)
        before = claim is not None and (claim.partition != self.partition or claim.offset < self.start)
        if before or hashed in self._taken:
            return False
        self._taken.add(hashed)
        return True

    def _transition(self, record: RawRecord, verdict: Verdict, output: OutputEvent | None) -> Transition:
        event, code = self.index.event(record.offset), self.index.dead_letter(record.offset)
        topic = self.names.dead_letter if output is None else output.topic
        unseen = event is None and code is None and (output is not None or isinstance(verdict, Rejected))
        if unseen and self.index.may_be_removed(topic, record.timestamp):
            return Transition(DiffKind.REMOVED)
        if isinstance(verdict, Rejected):
            return to_dead_letter(event, code, verdict.reason.code.value)
        if output is None:
            return to_silence(event, code)
        made = output.record
        return to_event(event, code, fingerprint(output.topic, made.key, made.value, made.headers, made.timestamp_ms))


# Where the topics hold both an event and a dead letter of a record, of two versions of the code, the one that agrees
# with today's code counts: which of the two was written later cannot be told across topics.


def to_event(event: int | None, code: str | None, today: int) -> Transition:
    """A record that is an event today; `event` and `code` are what the topics hold of it."""
    if event is None:
        return Transition(DiffKind.NEW, code_before=code)
    return Transition(DiffKind.SAME if event == today else DiffKind.CHANGED)


def to_dead_letter(event: int | None, code: str | None, today: str) -> Transition:
    """A record that is a dead letter today."""
    if code == today:
        return Transition(DiffKind.DEAD_SAME, code, today)
    if event is not None:
        return Transition(DiffKind.GONE, code_after=today)
    return Transition(DiffKind.DEAD_NEW if code is None else DiffKind.DEAD_CHANGED, code, today)


def to_silence(event: int | None, code: str | None) -> Transition:
    """A record that is a duplicate today."""
    if event is not None:
        return Transition(DiffKind.GONE)
    return Transition(DiffKind.SILENT) if code is None else Transition(DiffKind.DEAD_GONE, code_before=code)


def field_changes(before: OutputEvent, after: OutputEvent) -> tuple[FieldChange, ...]:
    """The fields in which two events differ: topic, key, time, headers, and the value's own."""
    one, other = _flat(before), _flat(after)
    return tuple(
        FieldChange(name, one.get(name), other.get(name))
        for name in dict.fromkeys((*one, *other))
        if one.get(name) != other.get(name) or (name in one) != (name in other)
    )


def _flat(output: OutputEvent) -> dict[str, object]:
    record = output.record
    flat: dict[str, object] = {"topic": output.topic, "key": _text(record.key), "timestamp_ms": record.timestamp_ms}
    flat |= {f"{HEADER}{name}": _text(value) for name, value in record.headers}
    try:
        fields = orjson.loads(record.value or b"null")
    except orjson.JSONDecodeError:
        fields = None
    return flat | (fields if isinstance(fields, dict) else {"value": _text(record.value)})


def _text(data: bytes | None) -> str | None:
    return None if data is None else data.decode("utf-8", "replace")
