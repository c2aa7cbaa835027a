"""The pure decision where an authenticated body is stored."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingress.accept import ToDeadLetter, ToRaw, accept
from schemas.dead_letter import Code, Stage
from schemas.events import EventType
from schemas.fields import is_id
from schemas.identity import CallId, EventId, IdempotencyKey

STARTED = {
    "event": "call.started",
    "timestamp": "2026-01-02T15:00:00.000Z",
    "call": {"id": "ro_call_123", "direction": "inbound", "from": "+33601020304", "to": "+33189000000"},
}
RECORDING = {
    "event": "call.recording_ready",
    "timestamp": "2026-01-02T15:06:00.000Z",
    "call": {"id": "ro_call_123"},
    "recording": {"id": "ro_rec_555", "url": "https://provider.example/recordings/ro_rec_555.mp3"},
}
# printf 'ringover|call.started|ro_call_123|2026-01-02T15:00:00.000Z' | sha256sum
STARTED_EVENT_ID = "32bc8aa445ca3061b3158389eb3138f89958f18d171bf1f0a26e212f3ec8dc06"


def accept_json(document: Any, event_type: EventType = EventType.CALL_STARTED) -> ToRaw | ToDeadLetter:
    return accept(event_type, json.dumps(document).encode())


def to_raw(call_id: str, event_id: str | None, key: str | None) -> ToRaw:
    return ToRaw(CallId(call_id), EventId(event_id) if event_id else None, IdempotencyKey(key) if key else None)


def without(document: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key != name}


def test_event_goes_to_the_raw_log_with_its_identity() -> None:
    assert accept_json(STARTED) == to_raw("ro_call_123", STARTED_EVENT_ID, "ringover:call.started:ro_call_123")


def test_event_id_of_the_sender_is_used() -> None:
    accepted = accept_json(STARTED | {"event_id": "evt-1"})

    assert accepted == to_raw("ro_call_123", "evt-1", "ringover:call.started:ro_call_123")


def test_recording_id_is_part_of_the_key() -> None:
    accepted = accept_json(RECORDING, EventType.RECORDING_READY)

    assert isinstance(accepted, ToRaw)
    assert accepted.idempotency_key == "ringover:call.recording_ready:ro_call_123:ro_rec_555"


@pytest.mark.parametrize(
    ("document", "event_type", "has_event_id", "has_key"),
    [
        pytest.param(STARTED, EventType.CALL_ENDED, False, False, id="event of another endpoint"),
        pytest.param(without(STARTED, "event"), EventType.CALL_STARTED, False, False, id="no event"),
        pytest.param(STARTED | {"event": 1}, EventType.CALL_STARTED, False, False, id="event of wrong type"),
        pytest.param(without(STARTED, "timestamp"), EventType.CALL_STARTED, False, True, id="no timestamp"),
        pytest.param(STARTED | {"timestamp": 1}, EventType.CALL_STARTED, False, True, id="timestamp of wrong type"),
        pytest.param(STARTED | {"event_id": ""}, EventType.CALL_STARTED, False, True, id="event id unusable"),
        pytest.param(STARTED | {"event_id": None}, EventType.CALL_STARTED, True, True, id="event id null"),
        pytest.param(without(RECORDING, "recording"), EventType.RECORDING_READY, True, False, id="no recording"),
        pytest.param(RECORDING | {"recording": []}, EventType.RECORDING_READY, True, False, id="recording no object"),
        pytest.param(
            RECORDING | {"recording": {"id": 5}}, EventType.RECORDING_READY, True, False, id="recording id no string"
        ),
    ],
)
def test_usable_call_id_suffices_for_the_raw_log(
    document: dict[str, Any], event_type: EventType, has_event_id: bool, has_key: bool
) -> None:
    accepted = accept_json(document, event_type)

    assert isinstance(accepted, ToRaw)
    assert accepted.call_id == "ro_call_123"
    assert (accepted.event_id is not None, accepted.idempotency_key is not None) == (has_event_id, has_key)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body cannot be read as JSON: Input is a zero-length, empty document (character 0)"),
        (b"{", "the body cannot be read as JSON: unexpected end of data (character 1)"),
        (b"hello", "the body cannot be read as JSON: unexpected character, expected a JSON value (character 0)"),
        (b'{"call": {"id": NaN}}', None),
        (b'{"call": {"id": "a"}} {}', None),
        (b'\xef\xbb\xbf\xef\xbb\xbf{"call": {"id": "a"}}', None),
        (b"\xef\xbb\xbf", None),
        (b'\xef\xbb{"call": {"id": "a"}}', None),
        (b'{"call": {"id": "\xff"}}', None),
        (b'{"call": {"id": "\\ud800"}}', None),
        (b'{"call": {"id": "\x00"}}', None),
        (b"[" * 100_000, "the body cannot be read as JSON: depth limit exceeded (character 1025)"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, None),
    ],
)
def test_unreadable_body_is_a_dead_letter(body: bytes, message: str | None) -> None:
    accepted = accept(EventType.CALL_STARTED, body)

    assert isinstance(accepted, ToDeadLetter)
    assert (accepted.reason.stage, accepted.reason.code) == (Stage.ACCEPT, Code.NOT_JSON)
    assert message in (None, accepted.reason.message)


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        ([STARTED], "an array"),
        ("text", "a string"),
        (None, "null"),
        (True, "a boolean"),
        (1, "a number"),
        (1.5, "a number"),
    ],
)
def test_json_that_is_no_object_is_a_dead_letter(document: Any, kind: str) -> None:
    accepted = accept_json(document)

    assert isinstance(accepted, ToDeadLetter)
    assert accepted.reason.code is Code.NOT_AN_OBJECT
    assert accepted.reason.message == f"the body is JSON but {kind}, not an object"


@pytest.mark.parametrize(
    ("call", "fault"),
    [
        (None, "is missing"),
        ([], "is missing"),
        ({}, "is missing"),
        ({"id": None}, "is missing"),
        ({"id": 7}, "is a number, not a string"),
        ({"id": False}, "is a boolean, not a string"),
        ({"id": []}, "is an array, not a string"),
        ({"id": {}}, "is an object, not a string"),
        ({"id": ""}, "is empty"),
        ({"id": "x" * 129}, "is longer than 128 characters"),
        ({"id": "x" * 10_000}, "is longer than 128 characters"),
        ({"id": "a\x00b"}, "contains control characters"),
        ({"id": "a\nb"}, "contains control characters"),
    ],
)
def test_unusable_call_id_is_a_dead_letter_in_words_of_an_operator(call: Any, fault: str) -> None:
    accepted = accept_json(STARTED | {"call": call})

    assert isinstance(accepted, ToDeadLetter)
    assert accepted.reason.code is Code.CALL_ID_UNUSABLE
    assert accepted.reason.message == f"call.id {fault}"


def test_absent_call_is_a_dead_letter() -> None:
    assert isinstance(accept_json(without(STARTED, "call")), ToDeadLetter)


def test_longest_call_id_is_taken() -> None:
    accepted = accept_json(STARTED | {"call": {"id": "é" * 128}})

    assert isinstance(accepted, ToRaw)


def test_a_leading_byte_order_mark_is_ignored() -> None:
    for document, event_type in ((STARTED, EventType.CALL_STARTED), (RECORDING, EventType.RECORDING_READY)):
        body = json.dumps(document | {"event_id": "evt-1"}).encode()

        marked = accept(event_type, b"\xef\xbb\xbf" + body)

        assert isinstance(marked, ToRaw)
        assert marked == accept(event_type, body)


def test_last_of_repeated_keys_wins() -> None:
    accepted = accept(EventType.CALL_STARTED, b'{"call": {"id": "first"}, "call": {"id": "last"}}')

    assert accepted == to_raw("last", None, None)


def test_reason_repeats_nothing_of_the_body() -> None:
    for body in (
        b"+33601020304",
        b'{"call": {"id": "+33601020304\\u0000"}}',
        b'{"call" +33601020304',
        b'"+33601020304"',
    ):
        accepted = accept(EventType.CALL_STARTED, body)

        assert isinstance(accepted, ToDeadLetter)
        assert "0601020304" not in accepted.reason.message
        assert "33601020304" not in accepted.reason.message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
DOCUMENT = st.fixed_dictionaries(
    {},
    optional={
        "event": st.sampled_from([event.value for event in EventType]) | JSON,
        "timestamp": st.text() | JSON,
        "event_id": st.text() | JSON,
        "call": st.fixed_dictionaries({}, optional={"id": st.text() | JSON}) | JSON,
        "recording": st.fixed_dictionaries({}, optional={"id": st.text() | JSON}) | JSON,
    },
)


@given(st.sampled_from(EventType), st.binary())
def test_no_bytes_raise(event_type: EventType, body: bytes) -> None:
    accept(event_type, body)


@given(st.sampled_from(EventType), DOCUMENT)
def test_raw_log_gets_exactly_what_has_a_usable_call_id(event_type: EventType, document: dict[str, Any]) -> None:
    body = json.dumps(document).encode()

    accepted = accept(event_type, body)

    if isinstance(accepted, ToRaw):
        assert is_id(accepted.call_id)
        assert accepted.call_id == orjson.loads(body)["call"]["id"]
    elif accepted.reason.code is Code.CALL_ID_UNUSABLE:
        call = orjson.loads(body).get("call")
        assert not is_id(call.get("id") if isinstance(call, dict) else None)
