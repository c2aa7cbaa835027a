"""What is told of a call, and what of it would be emitted again: from values alone."""

from dataclasses import replace
from datetime import UTC, datetime

import orjson
import pytest

from ops.calls.model import CallRecords, CallTimeline, TopicRecord, WebhookVerdict
from ops.calls.partition import output_partitions, placed, raw_partitions
from ops.calls.plan import plan_replay
from ops.calls.run import EmittedEvents, EmittedTo
from ops.calls.show import render, verdict_words
from ops.calls.timeline import build, passes, source_of
from ops.kit.claims import ClaimRow
from ops.kit.masking import masked_field, shown_fields
from ops.kit.output import json_bytes
from processors.model import Normalized
from processors.normalize import normalize
from schemas.dead_letter import Code, Origin, Reason, Stage, reason_headers
from schemas.placement import partition_of
from schemas.topics import TopicNames
from tests.support.kafka import Webhook, raw_headers
from tests.support.traffic import ended, recording, started

RAW, CALL, RECORDING, DEAD = "ringover.raw.v1", "ringover.call.v1", "ringover.recording.v1", "ringover.dead-letter.v1"
PARTITION = 2
COUNTS = dict.fromkeys((RAW, CALL, RECORDING, DEAD), 3)
NAMES = TopicNames()
GARBAGE = Webhook("call-started", "a", b'{"event":"call.started"}')


def raw(offset: int, webhook: Webhook) -> TopicRecord:
    headers = raw_headers(webhook.slug)
    return TopicRecord(RAW, PARTITION, offset, 1000 + offset, webhook.key.encode(), webhook.body, headers)


def normalized(record: TopicRecord) -> Normalized:
    verdict = normalize(record, source=f"{RAW}/{PARTITION}")
    assert isinstance(verdict, Normalized)
    return verdict


def event(record: TopicRecord, offset: int, *, value: bytes | None = None) -> TopicRecord:
    made = normalized(record)
    topic = RECORDING if "recording" in made.event_type.value else CALL
    return TopicRecord(topic, PARTITION, offset, record.timestamp, record.key, value or made.value, made.headers)


def dead(record: TopicRecord, offset: int) -> TopicRecord:
    reason = Reason(Stage.NORMALIZE, Code.FIELD_MISSING, "timestamp: Field required")
    headers = [*record.headers, *reason_headers(reason, Origin(RAW, PARTITION, record.offset, "group"))]
    return TopicRecord(DEAD, PARTITION, offset, record.timestamp, record.key, record.value, headers)


def claim(record: TopicRecord, records: int = 1) -> ClaimRow:
    made = normalized(record)
    time = datetime.fromtimestamp(record.timestamp / 1000, UTC)
    return ClaimRow(made.claim_key, PARTITION, record.offset, time, made.content_hash, records)


def found(
    *records: TopicRecord, outputs: tuple[TopicRecord, ...] = (), claims: tuple[ClaimRow, ...] = (), committed: int = 0
) -> CallRecords:
    offsets, ends = {PARTITION: committed}, {PARTITION: 20}
    return CallRecords("a", RAW, PARTITION, 0, COUNTS, offsets, ends, records, outputs, claims, frozenset())


def tell(records: CallRecords, *, since: str = "30d", reveal: bool = False) -> CallTimeline:
    return build(records, since=since, reveal=reveal)


def at(committed: int | None) -> dict[int, int | None]:
    return {PARTITION: committed}


FIRST, AGAIN, OTHER = raw(4, started("a")), raw(6, started("a")), raw(7, started("a", second=5))
END, CONFLICT, BAD = raw(8, ended("a")), raw(9, ended("a", duration=61)), raw(3, GARBAGE)
WHOLE = found(
    BAD,
    FIRST,
    AGAIN,
    END,
    CONFLICT,
    outputs=(dead(BAD, 0), event(FIRST, 10), event(FIRST, 12), event(END, 11)),
    claims=(claim(FIRST, 2), claim(END, 2)),
    committed=10,
)


def claim_in(partition: int) -> ClaimRow:
    return replace(claim(FIRST), partition=partition)


def test_a_call_is_looked_for_where_its_key_belongs() -> None:
    number = partition_of(b"a", range(3))

    assert placed("a", NAMES, COUNTS) == number
    assert raw_partitions(["a"], NAMES, COUNTS, [claim_in(number)]) == [number]
    assert output_partitions([number], 3, raw=3) == [number]


@pytest.mark.parametrize("grown", [RAW, CALL, RECORDING, DEAD])
def test_a_call_is_looked_for_everywhere_once_a_topic_has_grown(grown: str) -> None:
    counts = COUNTS | {grown: 6}
    everywhere = list(range(counts[RAW]))

    assert placed("a", NAMES, counts) == partition_of(b"a", range(3))
    assert raw_partitions(["a"], NAMES, counts, []) == everywhere
    assert {name: output_partitions(everywhere, count, raw=counts[RAW]) for name, count in counts.items()} == {
        name: list(range(count)) for name, count in counts.items()
    }


def test_a_call_is_looked_for_everywhere_when_it_owns_something_elsewhere() -> None:
    """All topics have grown together: only the claims still know where the call was before."""
    counts = dict.fromkeys(COUNTS, 6)
    elsewhere = (placed("a", NAMES, counts) + 3) % 6

    assert raw_partitions(["a"], NAMES, counts, [claim_in(elsewhere)]) == list(range(6))


def test_a_call_in_two_partitions_is_told_in_one_story() -> None:
    moved = replace(raw(2, ended("a")), partition=5, timestamp=1020)
    made = normalized(moved)
    later = replace(claim(moved), partition=5)
    written = TopicRecord(CALL, 2, 15, 1020, moved.key, made.value, [*made.headers])
    headers = [(n, f"{RAW}/5/2".encode() if n == "ce_sourceoffset" else v) for n, v in made.headers]
    again = replace(AGAIN, partition=5, timestamp=1030)
    story = tell(
        replace(
            found(FIRST, moved, again, outputs=(event(FIRST, 9), replace(written, headers=headers))),
            claims=[claim(FIRST, 2), later],
            partitions=COUNTS | {RAW: 6},
            committed={2: 9, 5: 9},
            raw_ends={2: 9, 5: 9},
        )
    )

    assert [webhook.verdict for webhook in story.webhooks] == [
        WebhookVerdict.EVENT,
        WebhookVerdict.EVENT,
        WebhookVerdict.DUPLICATE,
    ]
    assert verdict_words(story.webhooks[2]) == "duplicate of 2/4 (call.started)"
    assert all(webhook.remark is None for webhook in story.webhooks)
    assert story.strays == []
    plan = plan_replay(story, NAMES)
    assert (plan.refusal, plan.notes) == (None, ())
    assert [(event.topic, event.partition) for event in plan.events] == [(CALL, 2), (CALL, 2)]
    assert next(str(grid.title) for grid in render(story)) == f"{RAW}/2, 5"


def test_story_gives_each_webhook_its_verdict_and_its_outputs() -> None:
    story = tell(WHOLE)

    assert [webhook.verdict.value for webhook in story.webhooks] == [
        "dead letter",
        "event",
        "duplicate",
        "event",
        "conflict",
    ]
    owners = [webhook.owner and webhook.owner.offset for webhook in story.webhooks]
    assert owners == [None, 4, 4, 8, 8]
    assert [[seen.offset for seen in webhook.events] for webhook in story.webhooks] == [[], [10, 12], [], [11], []]
    assert [len(webhook.dead_letters) for webhook in story.webhooks] == [1, 0, 0, 0, 0]
    assert all(webhook.remark is None for webhook in story.webhooks)
    assert story.summary == (
        "call a: 5 webhooks received, 2 events, 1 duplicate, 1 conflict, 1 dead letter; all processed"
    )


def test_without_a_claim_the_first_valid_record_will_own() -> None:
    story = tell(found(BAD, FIRST, AGAIN))

    assert [webhook.verdict for webhook in story.webhooks] == [
        WebhookVerdict.DEAD_LETTER,
        WebhookVerdict.EVENT,
        WebhookVerdict.DUPLICATE,
    ]
    assert story.summary.endswith("; not processed yet: the group is 20 offsets behind in partition 2")


@pytest.mark.parametrize(
    ("story", "said"),
    [
        (found(), "nothing known of call a in the last 2d"),
        (found(FIRST, claims=(claim(FIRST),), outputs=(event(FIRST, 1),), committed=5), "1 event; all processed"),
        (found(FIRST, AGAIN, committed=5), "1 not processed yet: the group is 15 offsets behind in partition 2"),
        (found(FIRST, committed=5), "all processed, 1 not as today's code would do it"),
        (
            found(claims=(claim(FIRST),), outputs=(event(FIRST, 1),), committed=20),
            "call a: 0 webhooks received, but 1 claim and 1 output of earlier; all processed",
        ),
    ],
)
def test_summary(story: CallRecords, said: str) -> None:
    assert tell(story, since="2d").summary.endswith(said)


@pytest.mark.parametrize(
    ("story", "said"),
    [
        (found(FIRST), "not processed yet"),
        (found(FIRST, committed=5), "today's code makes an event of it, but none is on the topics"),
        (found(FIRST, outputs=(event(FIRST, 1, value=b"{}"),), committed=5), "today's code would emit other bytes"),
        (found(FIRST, outputs=(event(FIRST, 1, value=b"{}"), event(FIRST, 2)), committed=5), None),
        (found(BAD, committed=5), "today's code makes a dead letter of it, but none is on the topic"),
        (
            found(AGAIN, claims=(claim(FIRST),), outputs=(event(AGAIN, 1),), committed=9),
            "its event was emitted; today's code would not emit it",
        ),
    ],
)
def test_remark_says_where_topics_and_today_s_code_differ(story: CallRecords, said: str | None) -> None:
    assert tell(story).webhooks[0].remark == said


@pytest.mark.parametrize(
    ("record", "source"),
    [
        (event(FIRST, 1), (PARTITION, 4)),
        (dead(BAD, 1), (PARTITION, 3)),
        (replace(event(FIRST, 1), partition=1), (PARTITION, 4)),  # where it stands is of the topic's size
        (replace(FIRST, topic=CALL), None),
        (replace(FIRST, headers=[("ce_sourceoffset", b"other/2/4")]), None),
        (replace(FIRST, headers=[("ce_sourceoffset", f"{RAW}/2/\xb2".encode())]), None),
        (replace(FIRST, headers=[("ce_sourceoffset", b"\xff")]), None),
    ],
)
def test_source_of_an_output(record: TopicRecord, source: tuple[int, int] | None) -> None:
    assert source_of(record, RAW) == source


def test_event_is_what_a_pass_writes() -> None:
    webhook = tell(WHOLE).webhooks[1]

    made = normalized(FIRST)
    assert webhook.event == made
    assert (made.key, made.timestamp_ms) == (FIRST.key, FIRST.timestamp)


def test_passes_groups_by_place() -> None:
    assert passes((event(FIRST, 10), event(FIRST, 12), dead(BAD, 0))) == (
        f"{CALL}/2 at 10, 12 (2 passes); {DEAD}/2 at 0"
    )


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("from_e164", "+33601020304", "•••0304"),
        ("caller", "+33601020304", "•••"),
        ("from_e164", None, None),
        ("transcript_text", "Bonjour, je souhaite prendre rendez-vous", "•••"),
        ("recording_url", "https://provider.example/r.mp3?token=1", "•••"),
        ("agent_ref", "jean@example.org", "•••"),
        ("note", "call +33601020304 back", "•••"),
        ("other", 33601020304, "•••"),
        ("other", {"to": "0601020304"}, {"to": "•••"}),
        ("other", {"0601020304": "to"}, {"•••1": "•••"}),
        ("other", [33601020304], ["•••"]),
        ("other", "what somebody said", "•••"),
        ("hangup_cause", "normal clearing", "normal clearing"),
        ("direction", "inbound", "inbound"),
        ("direction", "what somebody said", "•••"),
        ("transcript_lang", "somebody said", "•••"),
        ("other", 7, "•••"),
        ("other", "q_1", "•••"),
        ("other", True, True),
        ("queue_id", "q_1", "q_1"),
        ("queue_id", "jean dupont", "•••"),
        ("duration_sec", 312, 312),
        ("duration_sec", 33601020304, "•••"),
    ],
)
def test_masking(name: str, value: object, shown: object) -> None:
    fields = orjson.dumps({name: value})

    assert masked_field(name, value) == shown
    assert shown_fields(fields, reveal=False) == {name: shown}
    assert shown_fields(fields, reveal=True) == {name: value}


@pytest.mark.parametrize("value", [None, b"{", b"[]", b"1"])
def test_a_value_that_is_no_object_has_no_fields(value: bytes | None) -> None:
    assert shown_fields(value, reveal=True) == shown_fields(value, reveal=False) == {}


def test_json_of_a_story_hides_numbers_and_bodies() -> None:
    story = tell(WHOLE)

    hidden = json_bytes(story).decode()
    assert "+33601020304" not in hidden
    assert {webhook["body"] for webhook in orjson.loads(hidden)["webhooks"]} == {None}
    assert "+33601020304" in json_bytes(tell(WHOLE, reveal=True)).decode()
    assert [verdict_words(webhook) for webhook in story.webhooks] == [
        "dead letter field_missing: timestamp: Field required",
        "event call.started",
        "duplicate of 4 (call.started)",
        "event call.ended",
        "conflict of 8 (call.ended)",
    ]


def test_fields_of_the_json_of_a_call() -> None:
    written = orjson.loads(json_bytes(tell(WHOLE)))

    read = {
        "call_id",
        "raw_topic",
        "partition",
        "since_ms",
        "partitions",
        "committed",
        "raw_ends",
        "claims",
        "conflicts",
    }
    assert written.keys() == read | {"summary", "known", "webhooks", "strays"}
    assert (written["committed"], written["raw_ends"]) == ({"2": 10}, {"2": 20})
    place = {"topic", "partition", "offset", "timestamp"}
    first, *_, conflict = written["webhooks"]
    sender = {"received_at", "request_id", "endpoint", "auth_key_id"}
    judged = {"verdict", "event_type", "owner", "conflict_noted", "reason", "processed", "remark"}
    assert first.keys() == place | sender | judged | {"events", "dead_letters", "body"}
    assert first["reason"]["code"] == "field_missing"
    assert conflict["owner"] == {"partition": 2, "offset": 8}
    assert first["dead_letters"][0].keys() == place | {"source", "type", "fields", "stage", "code", "message"}
    assert first["dead_letters"][0]["source"] == {"partition": 2, "offset": 3}
    assert written["webhooks"][1]["events"][0]["fields"]["from_e164"] == "•••0304"
    assert written["claims"][0].keys() == {"key", "partition", "offset", "time", "content_hash", "records"}


@pytest.mark.parametrize(
    ("story", "titles"),
    [
        (WHOLE, [f"{RAW}/2", "On the topics, by raw offset", "Claims"]),
        (found(FIRST), [f"{RAW}/2"]),
        (found(outputs=(event(FIRST, 1),)), ["On the topics, by raw offset"]),
        (found(), []),
    ],
)
def test_tables_leave_out_what_is_empty(story: CallRecords, titles: list[str]) -> None:
    assert [str(grid.title) for grid in render(tell(story))] == titles


def test_replay_takes_the_owners_in_raw_order() -> None:
    media = raw(12, recording("a", "r"))
    story = tell(replace(WHOLE, raw=[*WHOLE.raw, media], claims=[*WHOLE.claims, claim(media)], committed=at(13)))

    plan = plan_replay(story, NAMES)

    assert (plan.refusal, plan.notes) == (None, ())
    assert [(event.topic, event.partition, event.timestamp_ms, event.event.timestamp_ms) for event in plan.events] == [
        (CALL, PARTITION, 1004, 1004),
        (CALL, PARTITION, 1008, 1008),
        (RECORDING, PARTITION, 1012, 1012),
    ]
    written = orjson.loads(json_bytes(plan))
    assert written.keys() == {"call_id", "events", "refusal", "notes"}
    assert [event.pop("raw_offset") for event in written["events"]] == [4, 8, 12]
    assert written["events"][2] == {
        "topic": RECORDING,
        "partition": PARTITION,
        "raw_partition": PARTITION,
        "type": "call.recording_ready",
        "timestamp_ms": 1012,
    }


def test_what_was_emitted_is_told_as_json() -> None:
    assert orjson.loads(json_bytes(EmittedEvents([EmittedTo(CALL, 2, 7)]))) == {
        "events": [{"topic": CALL, "partition": 2, "offset": 7}]
    }


@pytest.mark.parametrize(
    ("story", "refusal"),
    [
        (
            replace(WHOLE, committed=at(9)),
            "not processed yet: 1 of the call's 5 webhooks, from raw offset 9 of partition 2 on",
        ),
        (
            replace(WHOLE, committed=at(None)),
            "not processed yet: 5 of the call's 5 webhooks, from raw offset 3 of partition 2 on",
        ),
        (replace(WHOLE, committed=at(10)), None),
    ],
)
def test_replay_is_refused_while_webhooks_wait(story: CallRecords, refusal: str | None) -> None:
    plan = plan_replay(tell(story), NAMES)

    assert (plan.refusal or "").startswith(refusal or "")
    assert (plan.refusal is None) is (refusal is None)


@pytest.mark.parametrize(
    ("story", "owners", "note"),
    [
        (found(FIRST, committed=9), [], "1 valid webhook without a claim"),
        (found(END, claims=(claim(FIRST), claim(END)), committed=9), [8], "1 claim with an owner older than"),
        (
            found(
                BAD,
                outputs=(replace(event(FIRST, 1), headers=[("ce_sourceoffset", f"{RAW}/2/3".encode())]),),
                committed=9,
            ),
            [],
            "1 event of webhooks that today's code rejects",
        ),
        (found(AGAIN, claims=(claim(FIRST),), committed=9), [], "1 claim with an owner older than"),
    ],
)
def test_replay_notes_what_it_leaves_out(story: CallRecords, owners: list[int], note: str) -> None:
    plan = plan_replay(tell(story), NAMES)

    assert [event.raw_offset for event in plan.events] == owners
    assert [said for said in plan.notes if said.startswith(note)]


def test_an_output_whose_webhook_was_not_read_is_a_stray() -> None:
    story: CallTimeline = tell(found(FIRST, outputs=(event(OTHER, 3),)))

    assert [output.offset for output in story.strays] == [3]
    assert story.known


def test_received_text_cannot_move_the_cursor() -> None:
    rude = replace(event(END, 1), value=b'{"call_id":"a","hangup_cause":"\\u001b[2J"}')
    body = replace(BAD, value=b"\x1b[2J")

    grids = list(render(tell(found(body, END, outputs=(rude,), committed=9), reveal=True)))

    shown = "".join(str(cell) for grid in grids for column in grid.columns for cell in column.cells)
    assert "\x1b" not in shown
    assert "hangup_cause=\\x1b[2J" in shown
