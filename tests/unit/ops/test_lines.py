"""What `tail` shows of a record, and what it hides."""

from dataclasses import replace

import pytest

from ops.kit.masking import mask_number
from ops.kit.record_view import RecordView, human_line, json_object
from schemas.dead_letter import Code, Origin, Reason, Stage, reason_headers

STARTED = RecordView(
    topic="ringover.call.v1",
    partition=3,
    offset=7,
    timestamp=0,
    key=b"ro_call_123",
    value=b'{"call_id":"ro_call_123","from_e164":"+33601020304","to_e164":"+33189000000","queue_id":null}',
    headers=[("ce_type", b"call.started"), ("ce_time", b"2026-01-02T15:00:00.000Z")],
)
RECORDING = RecordView(
    topic="ringover.recording.v1",
    partition=0,
    offset=0,
    timestamp=0,
    key=b"ro_call_123",
    value=b'{"call_id":"ro_call_123","transcript_text":"Bonjour, je souhaite prendre rendez-vous..."}',
    headers=[("ce_type", b"call.recording_ready")],
)
DEAD = RecordView(
    topic="ringover.dead-letter.v1",
    partition=0,
    offset=0,
    timestamp=0,
    key=b"ro_call_9",
    value=b'{"to":"0189"}',
    headers=reason_headers(
        Reason(Stage.NORMALIZE, Code.NUMBER_INVALID, "call.to: must be an E.164 number"),
        Origin("ringover.raw.v1", 2, 41, "ringover-normalizer"),
    ),
)


@pytest.mark.parametrize("record", [STARTED, DEAD])
@pytest.mark.parametrize("reveal", [False, True])
def test_a_null_header_a_null_key_and_a_tombstone_are_shown_as_null(record: RecordView, reveal: bool) -> None:
    odd = replace(record, key=None, value=None, headers=[*record.headers, ("a", b"1"), ("a", None), ("ce_type", None)])

    shown = json_object(odd, reveal=reveal)

    assert shown["headers"]["a"] is None  # type: ignore[index]
    assert (shown["key"], shown["value"]) == (None, None)
    assert human_line(odd, reveal=reveal)


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("+33601020304", "•••0304"),
        ("+33", "•••"),
        ("+330", "•••"),
        ("", "•••"),
        ("123456", "•••"),
        ("sip:1234", "•••"),
        ("sip:jean@voix.example", "•••"),
        ("+333123", "•••3123"),
    ],
)
def test_a_number_keeps_its_last_four_digits_and_no_length(number: str, shown: str) -> None:
    assert mask_number(number) == shown


def test_numbers_are_masked_for_people() -> None:
    line = human_line(STARTED, reveal=False)

    assert "0304" in line
    assert "+336" not in line
    assert line.startswith("2026-01-02T15:00:00.000Z  call.started  ro_call_123")
    assert "queue_id=-" in line


@pytest.mark.parametrize(
    ("name", "text", "seen"),
    [
        ("ce_subject", "ro_call_123", "ro_call_123"),
        ("ce_subject", "+33601020304", "•••"),
        ("ce_sourceoffset", "ringover.raw.v1/3/17", "ringover.raw.v1/3/17"),
        ("content-type", "application/json", "application/json"),
        ("ce_caller", "anybody", "•••"),
        ("request-id", "anybody", "•••"),
    ],
)
def test_a_header_that_no_event_has_is_hidden_unless_revealed(name: str, text: str, seen: str) -> None:
    record = replace(STARTED, headers=[(name, text.encode())])

    assert [json_object(record, reveal=reveal)["headers"] for reveal in (False, True)] == [{name: seen}, {name: text}]


def test_a_field_that_no_event_has_is_hidden_unless_revealed() -> None:
    record = replace(STARTED, value=b'{"call_id":"ro_call_123","caller":"anybody"}')

    assert "caller=•••" in human_line(record, reveal=False)
    assert "caller=anybody" in human_line(record, reveal=True)
    assert json_object(record, reveal=False)["value"] == {"call_id": "ro_call_123", "caller": "•••"}


@pytest.mark.parametrize("number", ["204", "118712", "sip:jean@voix.example", "sip:+33601020304"])
@pytest.mark.parametrize("name", ["ce_fromnumber", "ce_tonumber"])
def test_a_number_in_a_header_is_hidden_unless_revealed(name: str, number: str) -> None:
    record = replace(STARTED, headers=[*STARTED.headers, (name, number.encode())])
    shown, whole = (json_object(record, reveal=reveal)["headers"] for reveal in (False, True))

    assert isinstance(shown, dict)
    assert isinstance(whole, dict)
    assert (shown[name], whole[name]) == ("•••", number)
    assert number not in human_line(record, reveal=False)


def test_reveal_shows_whole_numbers() -> None:
    assert "+33601020304" in human_line(STARTED, reveal=True)


def test_transcripts_are_hidden_unless_revealed() -> None:
    assert "Bonjour" not in human_line(RECORDING, reveal=False)
    assert "rendez-vous..." in human_line(RECORDING, reveal=True)


def test_a_dead_letter_shows_its_reason_and_origin_but_not_its_body() -> None:
    line = human_line(DEAD, reveal=False)

    assert "normalize:number_invalid" in line
    assert "ringover.raw.v1/2/41" in line
    assert "0189" not in line
    assert "0189" in human_line(DEAD, reveal=True)


def test_a_dead_letter_of_the_ingress_has_no_origin() -> None:
    reason = Reason(Stage.ACCEPT, Code.NOT_JSON, "not JSON")
    record = RecordView("t", 0, 0, 0, None, b"\xff", reason_headers(reason, None))

    assert "from the ingress" in human_line(record, reveal=True)


def test_a_received_control_character_cannot_move_the_cursor() -> None:
    record = RecordView("t", 0, 0, 0, b"a\x1b[2Jb", b'{"call_id":"x","hangup_cause":"\\u001b[31m"}', [])

    assert "\x1b" not in human_line(record, reveal=True)


def test_revealed_json_has_everything_as_it_is_on_the_topic() -> None:
    assert json_object(STARTED, reveal=True) == {
        "topic": "ringover.call.v1",
        "partition": 3,
        "offset": 7,
        "key": "ro_call_123",
        "headers": {"ce_type": "call.started", "ce_time": "2026-01-02T15:00:00.000Z"},
        "value": {
            "call_id": "ro_call_123",
            "from_e164": "+33601020304",
            "to_e164": "+33189000000",
            "queue_id": None,
        },
    }


def test_a_dead_body_with_a_byte_order_mark_is_json_too() -> None:
    marked = RecordView("t", 0, 0, 0, b"c", b'\xef\xbb\xbf{"event":"call.started","to":"0189"}', DEAD.headers)

    assert json_object(marked, reveal=False)["value"] == {"event": "call.started", "to": "•••"}
    assert json_object(marked, reveal=True)["value"] == {"event": "call.started", "to": "0189"}


@pytest.mark.parametrize(
    ("value", "shown"), [(b"not json", "not json"), (b"\xff\xfe", {"base64": "//4="}), (None, None)]
)
def test_revealed_json_keeps_values_that_are_not_json(value: bytes | None, shown: object) -> None:
    assert json_object(RecordView("t", 0, 0, 0, None, value, []), reveal=True)["value"] == shown


def test_json_is_masked_as_lines_are() -> None:
    started, dead = json_object(STARTED, reveal=False), json_object(DEAD, reveal=False)

    assert started["value"] == {
        "call_id": "ro_call_123",
        "from_e164": "•••0304",
        "to_e164": "•••0000",
        "queue_id": None,
    }
    assert started["headers"] == {"ce_type": "call.started", "ce_time": "2026-01-02T15:00:00.000Z"}
    assert dead["value"] == {"to": "•••"}
    assert dead["key"] == "ro_call_9"


@pytest.mark.parametrize("value", [b"call +33601020304", b"\xff\xfe", b"[33601020304]", b'"jean@example.org"'])
def test_masked_json_shows_nothing_of_a_value_that_is_no_object(value: bytes) -> None:
    assert json_object(RecordView("t", 0, 0, 0, None, value, []), reveal=False)["value"] == "•••"


def test_a_masked_dead_letter_shows_neither_signature_nor_a_number_as_key() -> None:
    headers = [*DEAD.headers, ("signature", b"5a5a"), ("x-note", b"secret")]
    shown = json_object(RecordView("t", 0, 0, 0, b"+33601020304", b"{}", headers), reveal=False)

    assert shown["key"] == "•••"
    assert isinstance(shown["headers"], dict)
    assert (shown["headers"]["signature"], shown["headers"]["x-note"]) == ("present", "•••")
    assert shown["headers"]["__dlq.errors.code"] == "number_invalid"
