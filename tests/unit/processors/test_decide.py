"""Who owns a key, whatever the batches and however often the log is passed: against a naive model."""

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.decide import claims_of, count_by_labels, decide, labels
from processors.model import (
    Batch,
    Claim,
    Conflict,
    DeadLettered,
    Duplicate,
    Emit,
    Outcome,
    Owner,
    Owners,
    Rejected,
    Verdict,
)
from schemas.dead_letter import Code, DeadLetter, Reason, Stage
from schemas.events import EventType
from schemas.identity import ClaimKey
from schemas.topics import TopicNames
from tests.support.broker import StoredRecord
from tests.support.verdicts import valid

PARTITION = 4
TOPICS = TopicNames("t.")
GROUP = "group"
REASON = Reason(Stage.NORMALIZE, Code.NOT_JSON, "the body is not JSON")
EVENTS = list(EventType)

# One log entry: None is a record that cannot be normalized, otherwise (key number, content).
Entry = tuple[int, int] | None
LOGS = st.lists(st.none() | st.tuples(st.integers(0, 4), st.integers(0, 1)), max_size=25)


def record(offset: int) -> StoredRecord:
    return StoredRecord(offset, 1000 + offset, b"key-%d" % offset, b"raw-%d" % offset, (("endpoint", b"x"),))


def key_of(number: int) -> ClaimKey:
    return ClaimKey(f"key:{number}")


def event_of(number: int) -> EventType:
    return EVENTS[number % len(EVENTS)]


def verdict(entry: Entry, offset: int) -> Verdict:
    if entry is None:
        return Rejected(REASON, record(offset))
    number, content = entry
    value = b"event-%d-%d" % (number, content)
    raw = record(offset)
    assert raw.key is not None
    return valid(
        event_of(number),
        key_of(number),
        value=value,
        content=content,
        offset=offset,
        time_ms=raw.timestamp,
        key=raw.key,
    )


def batch(log: Sequence[Entry], start: int, end: int) -> Batch:
    offsets = range(start, end)
    return Batch(PARTITION, start, end, [verdict(log[o], o) for o in offsets])


class State:
    """The smallest state table there can be."""

    def __init__(self) -> None:
        self.owners: dict[ClaimKey, Owner] = {}
        self.records: Counter[ClaimKey] = Counter()
        self.progress = 0

    def claim(self, claims: Sequence[Claim], next_offset: int) -> Owners:
        for claim in claims:
            self.owners.setdefault(claim.key, Owner(PARTITION, claim.offset, claim.content_hash))
            self.records[claim.key] += claim.records
        self.progress = max(self.progress, next_offset)
        return {claim.key: self.owners[claim.key] for claim in claims}


def expected_outcome(log: Sequence[Entry], offset: int) -> Outcome:
    entry = log[offset]
    if entry is None:
        return DeadLettered(REASON)
    number, content = entry
    owner = min(o for o, other in enumerate(log) if other is not None and other[0] == number)
    if owner == offset:
        return Emit(event_of(number))
    first = log[owner]
    assert first is not None
    return Duplicate(event_of(number), conflict=first[1] != content)


@settings(deadline=None, max_examples=200)
@given(LOGS, st.data())
def test_every_pass_in_whatever_batches_gives_the_same_outcomes(log: list[Entry], data: st.DataObject) -> None:
    state = State()
    # Each pass begins anywhere that was reached before, and may end early, as after a crash.
    for number in range(data.draw(st.integers(1, 4), "passes")):
        start = data.draw(st.integers(0, state.progress), f"start of pass {number}")
        counted_until = max(start, state.progress)
        while start < len(log) and data.draw(st.integers(0, 6), "crash") > 0:
            end = data.draw(st.integers(start + 1, len(log)), "end of batch")
            of_log = batch(log, start, end)

            claims = claims_of(of_log, counted_until=counted_until)
            decision = decide(of_log, state.claim(claims, end), topics=TOPICS, group=GROUP)

            keys = [claim.key for claim in claims]
            assert keys == sorted(set(keys))
            assert decision.outcomes == [expected_outcome(log, offset) for offset in range(start, end)]
            counted_until = max(counted_until, end)
            start = end
    valid = Counter(key_of(entry[0]) for entry in log[: state.progress] if entry is not None)
    assert state.records == valid


@settings(deadline=None, max_examples=100)
@given(LOGS)
def test_outputs_are_the_emitted_and_the_dead_in_raw_order(log: list[Entry]) -> None:
    whole = batch(log, 0, len(log))

    decision = decide(whole, State().claim(claims_of(whole, counted_until=0), len(log)), topics=TOPICS, group=GROUP)

    wanted: dict[str, list[tuple[bytes | None, bytes]]] = {}
    for offset, outcome in enumerate(decision.outcomes):
        entry = log[offset]
        match outcome:
            case Emit(event_type=event_type):
                assert entry is not None
                value = b"event-%d-%d" % entry
                wanted.setdefault(TOPICS.of(event_type.topic), []).append((b"key-%d" % offset, value))
            case DeadLettered():
                wanted.setdefault(TOPICS.dead_letter, []).append((b"key-%d" % offset, b"raw-%d" % offset))
            case Duplicate():
                pass
    found = {topic: [(record.key, record.value) for record in records] for topic, records in decision.outputs.items()}
    assert found == wanted
    assert [conflict.offset for conflict in decision.conflicts] == [
        offset
        for offset, outcome in enumerate(decision.outcomes)
        if isinstance(outcome, Duplicate) and outcome.conflict
    ]


def test_claim_has_the_smallest_offset_with_its_time_and_content() -> None:
    log: list[Entry] = [None, (1, 0), (0, 5), (1, 7), (1, 0)]

    assert claims_of(batch(log, 0, 5), counted_until=0) == [
        Claim(key_of(0), offset=2, time_ms=1002, content_hash=5, records=1),
        Claim(key_of(1), offset=1, time_ms=1001, content_hash=0, records=3),
    ]


@pytest.mark.parametrize(("counted_until", "records"), [(0, 3), (1, 3), (2, 2), (4, 1), (5, 0), (99, 0)])
def test_records_counted_before_are_not_counted_again(counted_until: int, records: int) -> None:
    log: list[Entry] = [None, (1, 0), None, (1, 0), (1, 0)]

    assert [claim.records for claim in claims_of(batch(log, 0, 5), counted_until=counted_until)] == [records]


def test_keys_are_claimed_in_the_order_of_their_bytes() -> None:
    texts = [
        "ringover:b",
        "ringover:B",
        "ringover:é",
        "ringover:\U0001f4de",
        "ringover:\uffff",
        "ringover:a:b",
        "ringover:a",
    ]
    verdicts = [valid(EventType.CALL_ENDED, ClaimKey(text), offset=offset) for offset, text in enumerate(texts)]
    of_texts = Batch(PARTITION, 0, len(texts), verdicts)

    keys = [claim.key for claim in claims_of(of_texts, counted_until=0)]

    assert keys == sorted(texts, key=str.encode)  # as PostgreSQL's "C" collation has them


def test_owner_in_another_partition_makes_a_duplicate() -> None:
    one = batch([(0, 0)], 0, 1)

    decision = decide(one, {key_of(0): Owner(PARTITION + 1, 0, 0)}, topics=TOPICS, group=GROUP)

    assert decision.outcomes == [Duplicate(event_of(0), conflict=False)]
    assert decision.outputs == {}


def test_conflict_is_noted_with_its_record() -> None:
    two = batch([(0, 0), (0, 1)], 0, 2)

    decision = decide(two, {key_of(0): Owner(PARTITION, 0, 0)}, topics=TOPICS, group=GROUP)

    assert decision.outcomes == [Emit(event_of(0)), Duplicate(event_of(0), conflict=True)]
    assert decision.conflicts == [Conflict(key_of(0), 1, 1001)]


def test_dead_letter_is_the_raw_record_with_reason_and_origin_behind_it() -> None:
    decision = decide(batch([None], 0, 1), {}, topics=TOPICS, group=GROUP)

    (dead,) = decision.outputs[TOPICS.dead_letter]
    assert (dead.key, dead.value, dead.timestamp_ms) == (b"key-0", b"raw-0", 1000)
    assert dead.headers[0] == ("endpoint", b"x")
    read = DeadLetter.decode(dead.headers)
    assert read.reason == REASON
    assert read.origin is not None
    assert (read.origin.topic, read.origin.partition, read.origin.offset, read.origin.group) == (
        "t.ringover.raw.v1",
        PARTITION,
        0,
        GROUP,
    )


def test_event_keeps_key_and_broker_time_of_its_raw_record() -> None:
    one = batch([(0, 0)], 0, 1)

    decision = decide(one, {key_of(0): Owner(PARTITION, 0, 0)}, topics=TOPICS, group=GROUP)

    (event,) = decision.outputs[TOPICS.of(event_of(0).topic)]
    assert (event.key, event.timestamp_ms) == (b"key-0", 1000)
    assert ("ce_sourceoffset", b"raw/0/0") in event.headers


def test_empty_batch_decides_nothing() -> None:
    nothing = batch([], 0, 0)

    assert claims_of(nothing, counted_until=0) == []
    assert decide(nothing, {}, topics=TOPICS, group=GROUP).outcomes == []


def test_outcomes_are_counted_by_type_and_outcome() -> None:
    ended = EventType.CALL_ENDED
    outcomes: list[Outcome] = [
        Emit(ended),
        Emit(ended),
        Duplicate(ended, conflict=False),
        Duplicate(ended, conflict=True),
        DeadLettered(REASON),
    ]

    assert labels(outcomes[0]) == ("call.ended", "emitted")
    assert count_by_labels(outcomes) == {
        ("call.ended", "emitted"): 2,
        ("call.ended", "duplicate"): 1,
        ("call.ended", "conflict"): 1,
        ("unknown", "dead_letter"): 1,
    }
