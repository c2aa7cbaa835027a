"""Compare one partition: pure, batch by batch in raw order, against an index of what the topics hold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from ops.diff.index import OutputIndex, fingerprint
from ops.diff.model import AGREEING, HEADER, DiffResult, Example, FieldChange, Kind, Output, Place, Transition
from processors.model import Normalized, Owner, RawRecord, Record, Rejected, Verdict
from schemas.identity import ClaimKey
from schemas.topics import TopicNames


@dataclass(frozen=True, slots=True)
class Pending:
    """A changed event whose bytes on the topic are still to be read."""

    example: Example
    before: Place
    after: Output


class PartitionDiff:
    """Feeds the result with one partition's records.

    The claims decide who owns a key, as they do in a rewind; a key without a claim belongs to its first valid record.
    """

    def __init__(
        self, index: OutputIndex, names: TopicNames, result: DiffResult, *, partition: int, start: int, examples: int
    ) -> None:
        self.pending: list[Pending] = []
        self._index = index
        self._names = names
        self._result = result
        self._partition = partition
        self._start = start
        self._examples = examples
        self._taken: set[int] = set()  # hashes of the keys that have their owner in the range

    def feed(self, records: Sequence[RawRecord], verdicts: Sequence[Verdict], claims: Mapping[ClaimKey, Owner]) -> None:
        """Count the next records; the first that differ become examples, changed events pending ones.

        `claims` has every claim of the verdicts' keys.
        """
        for record, verdict in zip(records, verdicts, strict=True):
            output = self._output(record, verdict, claims)
            transition = self._transition(record, verdict, output)
            self._result.records += 1
            self._result.transitions[transition] += 1
            if transition.kind not in AGREEING and len(self._result.examples) + len(self.pending) < self._examples:
                self._keep(Example(self._partition, record.offset, _text(record.key), transition), output)

    def _keep(self, example: Example, output: Output | None) -> None:
        if example.transition.kind is Kind.CHANGED and output is not None:
            self.pending.append(Pending(example, self._index.event_place(example.offset), output))
        else:
            self._result.examples.append(example)

    def _output(self, record: RawRecord, verdict: Verdict, claims: Mapping[ClaimKey, Owner]) -> Output | None:
        """The event that today's code makes of a record; None for a dead letter or a duplicate."""
        if not isinstance(verdict, Normalized):
            return None
        claim = claims.get(verdict.claim_key)
        first = self._is_first(verdict.claim_key, claim)
        owns = first if claim is None else (claim.partition, claim.offset) == (self._partition, record.offset)
        self._result.owners_moved += owns != first
        if not owns:
            return None
        event = Record(record.key, verdict.value, verdict.headers, record.timestamp)
        return Output(self._names.of(verdict.event_type.topic), event)

    def _is_first(self, key: ClaimKey, claim: Owner | None) -> bool:
        """Whether this is the key's first record that is valid today: its owner, if the claims were rebuilt."""
        hashed = hash(key)
        before = claim is not None and (claim.partition != self._partition or claim.offset < self._start)
        if before or hashed in self._taken:
            return False
        self._taken.add(hashed)
        return True

    def _transition(self, record: RawRecord, verdict: Verdict, output: Output | None) -> Transition:
        event, code = self._index.event(record.offset), self._index.dead_letter(record.offset)
        topic = self._names.dead_letter if output is None else output.topic
        unseen = event is None and code is None and (output is not None or isinstance(verdict, Rejected))
        if unseen and self._index.may_be_removed(topic, record.timestamp):
            return Transition(Kind.REMOVED)
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
        return Transition(Kind.NEW, code_before=code)
    return Transition(Kind.SAME if event == today else Kind.CHANGED)


def to_dead_letter(event: int | None, code: str | None, today: str) -> Transition:
    """A record that is a dead letter today."""
    if code == today:
        return Transition(Kind.DEAD_SAME, code, today)
    if event is not None:
        return Transition(Kind.GONE, code_after=today)
    return Transition(Kind.DEAD_NEW if code is None else Kind.DEAD_CHANGED, code, today)


def to_silence(event: int | None, code: str | None) -> Transition:
    """A record that is a duplicate today."""
    if event is not None:
        return Transition(Kind.GONE)
    return Transition(Kind.SILENT) if code is None else Transition(Kind.DEAD_GONE, code_before=code)


def field_changes(before: Output, after: Output) -> tuple[FieldChange, ...]:
    """The fields in which two events differ: topic, key, time, headers, and the value's own."""
    one, other = _flat(before), _flat(after)
    return tuple(
        FieldChange(name, one.get(name), other.get(name))
        for name in dict.fromkeys((*one, *other))
        if one.get(name) != other.get(name) or (name in one) != (name in other)
    )


def _flat(output: Output) -> dict[str, object]:
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
