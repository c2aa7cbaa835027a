"""What a diff makes of what the topics hold and what today's code makes: from values alone."""

from collections.abc import Sequence

import orjson
import pytest

from ops.calls.model import TopicRecord
from ops.diff.compare import PartitionDiff, field_changes, to_dead_letter, to_event, to_silence
from ops.diff.index import OutputIndex, fingerprint
from ops.diff.model import DiffKind, DiffResult, Example, FieldChange, OutputEvent, OutputPlace, Transition
from ops.diff.show import hidden, print_diff, summary, tables
from ops.kit.output import OutputFormat, json_bytes
from ops.kit.scan import Range
from processors.model import Normalized, Owner, Record, Rejected, Verdict
from processors.normalize import normalize
from schemas.dead_letter import Code, Reason, Stage
from schemas.events import EventType
from schemas.identity import ClaimKey
from schemas.topics import TopicNames
from tests.support import verdicts
from tests.support.kafka import raw_headers
from tests.support.traffic import started

KEY = ClaimKey("ringover:call.started:a")
TOPIC = "ringover.call.v1"


def raw(offset: int) -> TopicRecord:
    return TopicRecord("ringover.raw.v1", 0, offset, 1000 + offset, b"a", b"{}", [])


BAD = Rejected(Reason(Stage.NORMALIZE, Code.NUMBER_INVALID, "no"), raw(0))


def valid(value: bytes = b"{}", key: ClaimKey = KEY) -> Normalized:
    return verdicts.valid(EventType.CALL_STARTED, key, value=value, content=hash(value))


def compare(
    verdicts: Sequence[Verdict],
    *,
    events: Sequence[int] = (),
    dead: dict[int, str] | None = None,
    claims: dict[ClaimKey, int] | None = None,
    examples: int = 10,
) -> tuple[DiffResult, PartitionDiff]:
    """Records 10, 11, ... with these verdicts; `events`: offsets that have an event with value `{}` on the topic."""
    index = OutputIndex(Range(10, 10 + len(verdicts)))
    for place, offset in enumerate(events):
        verdict = verdicts[offset - 10]
        event = verdict if isinstance(verdict, Normalized) else valid()
        index.add_event(
            offset, OutputPlace(TOPIC, 0, place), fingerprint(TOPIC, b"a", b"{}", event.headers, 1000 + offset)
        )
    for offset, code in (dead or {}).items():
        index.add_dead_letter(offset, code)
    result = DiffResult()
    comparing = PartitionDiff(index, TopicNames(), result, 0, 10, examples)
    owners = {key: Owner(0, offset, 0) for key, offset in (claims or {}).items()}
    for number, verdict in enumerate(verdicts):  # in batches of one: what is known must carry over
        comparing.feed([raw(10 + number)], [verdict], owners)
    return result, comparing


@pytest.mark.parametrize(
    ("verdicts", "events", "dead", "claims", "kinds"),
    [
        ([valid()], [10], {}, {KEY: 10}, [DiffKind.SAME]),
        ([valid(b"[]")], [10], {}, {KEY: 10}, [DiffKind.CHANGED]),
        ([valid()], [], {}, {}, [DiffKind.NEW]),
        ([valid()], [], {10: "not_json"}, {}, [DiffKind.NEW]),
        ([valid()], [10], {10: "not_json"}, {KEY: 10}, [DiffKind.SAME]),
        ([valid(), valid()], [10], {}, {KEY: 10}, [DiffKind.SAME, DiffKind.SILENT]),
        ([valid(), valid()], [11], {10: "not_json"}, {KEY: 11}, [DiffKind.DEAD_GONE, DiffKind.SAME]),
        ([BAD, valid()], [10], {}, {KEY: 10}, [DiffKind.GONE, DiffKind.SILENT]),
        ([valid()], [], {}, {KEY: 9}, [DiffKind.SILENT]),
        ([valid()], [10], {}, {KEY: 9}, [DiffKind.GONE]),
        ([valid()], [], {10: "not_json"}, {KEY: 9}, [DiffKind.DEAD_GONE]),
        ([BAD], [], {10: "number_invalid"}, {}, [DiffKind.DEAD_SAME]),
        ([BAD], [10], {10: "number_invalid"}, {}, [DiffKind.DEAD_SAME]),
        ([BAD], [], {10: "not_json"}, {}, [DiffKind.DEAD_CHANGED]),
        ([BAD], [], {}, {}, [DiffKind.DEAD_NEW]),
        ([valid(), valid(key=ClaimKey("other"))], [10, 11], {}, {KEY: 10}, [DiffKind.SAME, DiffKind.SAME]),
    ],
)
def test_kinds(
    verdicts: list[Verdict], events: list[int], dead: dict[int, str], claims: dict[ClaimKey, int], kinds: list[DiffKind]
) -> None:
    result, _ = compare(verdicts, events=events, dead=dead, claims=claims)

    assert {kind: count for kind, count in result.counts.items() if count} == {k: kinds.count(k) for k in kinds}
    assert result.records == len(verdicts)
    assert result.differs is not {*kinds}.issubset({DiffKind.SAME, DiffKind.SILENT, DiffKind.DEAD_SAME})


@pytest.mark.parametrize(
    ("verdicts", "claims", "moved"),
    [
        ([valid(), valid()], {KEY: 10}, 0),
        ([valid(), valid()], {}, 0),
        ([valid(), valid()], {KEY: 11}, 2),  # 10 was a dead letter when 11 was claimed
        ([BAD, valid()], {KEY: 10}, 1),  # the owner is a dead letter today
        ([valid()], {KEY: 3}, 0),
    ],
)
def test_owners_that_move_are_counted_and_said(
    verdicts: list[Verdict], claims: dict[ClaimKey, int], moved: int, capfd: pytest.CaptureFixture[str]
) -> None:
    result, _ = compare(verdicts, claims=claims)

    print_diff(result, OutputFormat.JSON, reveal=False)

    assert result.owners_moved == moved
    assert ("who owns their key" not in capfd.readouterr().err) is (moved == 0)


def test_examples_are_bounded_and_changed_ones_wait_for_their_bytes() -> None:
    verdicts: list[Verdict] = [BAD, valid(b"1"), valid(b"2", ClaimKey("b")), valid(b"3", ClaimKey("c"))]

    result, comparing = compare(verdicts, events=[11, 12, 13], examples=3)

    assert [example.offset for example in result.examples] == [10]
    assert [(example.offset, comparing.index.event_place(example.offset)) for example, _ in comparing.pending] == [
        (11, OutputPlace(TOPIC, 0, 0)),
        (12, OutputPlace(TOPIC, 0, 1)),
    ]
    assert result.counts[DiffKind.CHANGED] == 3


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (to_event(None, "not_json", 5), Transition(DiffKind.NEW, code_before="not_json")),
        (to_event(5, "not_json", 5), Transition(DiffKind.SAME)),
        (to_dead_letter(5, None, "not_json"), Transition(DiffKind.GONE, code_after="not_json")),
        (to_dead_letter(5, "too_deep", "not_json"), Transition(DiffKind.GONE, code_after="not_json")),
        (to_dead_letter(None, "too_deep", "not_json"), Transition(DiffKind.DEAD_CHANGED, "too_deep", "not_json")),
        (to_silence(None, "too_deep"), Transition(DiffKind.DEAD_GONE, code_before="too_deep")),
        (to_silence(5, "too_deep"), Transition(DiffKind.GONE)),
    ],
)
def test_transitions_carry_codes(found: Transition, wanted: Transition) -> None:
    assert found == wanted


def test_index_keeps_the_latest_pass_and_only_its_range() -> None:
    index = OutputIndex(Range(10, 12))

    for offset, (topic, content) in enumerate([("call", 1), ("recording", 2), ("call", -3)]):
        index.add_event(10, OutputPlace(topic, 3, offset), content)
    index.add_event(9, OutputPlace("call", 3, 8), 1)
    index.add_event(12, OutputPlace("call", 3, 9), 1)
    index.add_dead_letter(11, "not_json")
    index.add_dead_letter(11, "too_deep")
    index.add_dead_letter(12, "not_json")

    assert (index.event(10), index.event_place(10), index.dead_letter(10)) == (-3, OutputPlace("call", 3, 2), None)
    assert (index.event(11), index.dead_letter(11)) == (None, "too_deep")


@pytest.mark.parametrize(
    ("verdict", "horizon", "kind"),
    [
        (valid(), {TOPIC: 1009.0}, DiffKind.NEW),
        (valid(), {TOPIC: 1010.0}, DiffKind.REMOVED),
        (valid(), {"ringover.dead-letter.v1": 2000.0}, DiffKind.NEW),
        (BAD, {"ringover.dead-letter.v1": 2000.0}, DiffKind.REMOVED),
        (BAD, {TOPIC: 2000.0}, DiffKind.DEAD_NEW),
    ],
)
def test_what_retention_removed_is_not_new(verdict: Verdict, horizon: dict[str, float], kind: DiffKind) -> None:
    result = DiffResult()
    index = OutputIndex(Range(10, 11), horizon)

    PartitionDiff(index, TopicNames(), result, 0, 10, 1).feed([raw(10)], [verdict], {})

    assert result.counts[kind] == 1


def test_fingerprint_sees_everything_that_a_consumer_sees() -> None:
    plain = fingerprint("t", b"k", b"v", [("h", b"1")], 5)

    others = [
        fingerprint("u", b"k", b"v", [("h", b"1")], 5),
        fingerprint("t", None, b"v", [("h", b"1")], 5),
        fingerprint("t", b"", b"v", [("h", b"1")], 5),
        fingerprint("t", b"kv", b"", [("h", b"1")], 5),
        fingerprint("t", b"k", b"v", [("h1", b"")], 5),
        fingerprint("t", b"k", b"v", [], 5),
        fingerprint("t", b"k", b"v", [("h", b"1")], 6),
    ]

    assert fingerprint("t", b"k", b"v", [("h", b"1")], 5) == plain
    assert len({plain, *others}) == len(others) + 1


def test_field_changes_name_what_differs() -> None:
    before = OutputEvent("call", Record(b"a", b'{"x":1,"gone":2,"same":3}', [("ce_id", b"1"), ("ce_type", b"t")], 5))
    after = OutputEvent("call", Record(b"a", b'{"x":2,"same":3,"added":null}', [("ce_id", b"2"), ("ce_type", b"t")], 5))

    assert set(field_changes(before, after)) == {
        FieldChange("header ce_id", "1", "2"),
        FieldChange("x", 1, 2),
        FieldChange("gone", 2, None),
        FieldChange("added", None, None),
    }
    broken = OutputEvent("recording", Record(None, b"\xff", [], 6))
    assert {change.name for change in field_changes(before, broken)} >= {"topic", "key", "timestamp_ms", "value"}


def test_shown_values_are_masked_unless_revealed() -> None:
    result = DiffResult()
    result.add(Transition(DiffKind.CHANGED))
    result.add(Transition(DiffKind.NEW, code_before="number_invalid"), 2)
    changes = (FieldChange("from_e164", "+33601020304", "+33601020305"), FieldChange("queue_id", "q", None))
    result.examples.append(Example(1, 7, "call", Transition(DiffKind.CHANGED), changes))

    masked = json_bytes(hidden(result)).decode()
    assert "+3360102030" not in masked
    assert "•••0304" in masked
    assert "+33601020305" in json_bytes(result).decode()
    shown = orjson.loads(masked)
    moved = [
        (item["transition"]["before"], item["transition"]["after"], item["records"]) for item in shown["differences"]
    ]
    assert moved == [("dead letter number_invalid", "event", 2), ("event", "event", 1)]
    assert shown.keys() == {"examples", "owners_moved", "records", "differs", "counts", "differences"}
    assert shown["counts"] == dict.fromkeys(DiffKind, 0) | {"changed": 1, "new": 2}
    transition = {"kind": "changed", "code_before": None, "code_after": None, "before": "event", "after": "event"}
    assert shown["examples"] == [
        {
            "partition": 1,
            "offset": 7,
            "call_id": "call",
            "transition": transition,
            "fields": [
                {"name": "from_e164", "before": "•••0304", "after": "•••0305"},
                {"name": "queue_id", "before": "q", "after": None},
            ],
        }
    ]
    assert len(list(tables(result))) == 3
    assert summary(result).startswith(
        "a pass of today's code over 3 raw records differs; events: 0 identical, 1 changed"
    )


@pytest.mark.parametrize("number", ["118712", "sip:jean@voix.example"])
def test_a_number_in_a_header_is_a_difference_and_hidden_unless_revealed(number: str) -> None:
    before, after = (
        OutputEvent("call", Record(b"a", b"{}", [("ce_tonumber", text)], 5)) for text in (b"7", number.encode())
    )
    result = DiffResult()
    result.examples.append(Example(1, 7, "call", Transition(DiffKind.CHANGED), field_changes(before, after)))

    masked, whole = (orjson.loads(json_bytes(shown))["examples"] for shown in (hidden(result), result))

    field = {"name": "header ce_tonumber", "before": "•••", "after": "•••"}
    assert [example["fields"] for example in masked] == [[field]]
    assert [example["fields"] for example in whole] == [[field | {"before": "7", "after": number}]]


def test_nothing_that_differs_is_one_table() -> None:
    result, _ = compare([valid(), valid(), BAD], events=[10], dead={12: "number_invalid"}, claims={KEY: 10})

    assert not result.differs
    assert len(list(tables(result))) == 1
    assert summary(result) == (
        "a pass of today's code over 3 raw records is the same; "
        "events: 1 identical, 0 changed, 0 new, 0 no longer; dead letters: 1"
    )


def test_the_fingerprint_of_an_event_is_that_of_a_pass() -> None:
    webhook = started("a")
    record = TopicRecord("ringover.raw.v1", 0, 10, 1010, b"a", webhook.body, raw_headers(webhook.slug))
    verdict = normalize(record, source="ringover.raw.v1/0")
    assert isinstance(verdict, Normalized)
    index = OutputIndex(Range(10, 11))
    index.add_event(
        10, OutputPlace(TOPIC, 0, 0), fingerprint(TOPIC, record.key, verdict.value, verdict.headers, record.timestamp)
    )
    result = DiffResult()

    PartitionDiff(index, TopicNames(), result, 0, 10, 1).feed([record], [verdict], {})

    assert result.counts[DiffKind.SAME] == 1
