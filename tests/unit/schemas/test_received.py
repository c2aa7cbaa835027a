"""The models of bodies as received."""

from typing import Any

import pytest
from pydantic_core import SchemaValidator, ValidationError

from schemas.received import CallEndedReceived, CallStartedReceived, RecordingReadyReceived, validator

STARTED: dict[str, Any] = {
    "event": "call.started",
    "timestamp": "2026-01-02T15:00:00.000Z",
    "call": {
        "id": "ro_call_123",
        "direction": "inbound",
        "from": "+33601020304",
        "to": "+33189000000",
        "queue_id": "ro_queue_1",
        "agent": {"id": "ro_agent_77", "email": "agent@synergia.fr"},
    },
}
ENDED: dict[str, Any] = {
    "timestamp": "2026-01-02T15:05:12.000Z",
    "call": {
        "id": "ro_call_123",
        "direction": "sideways",  # not ours to judge in this event
        "duration_sec": 312,
        "hangup_cause": "normal_clearing",
        "disposition": "answered",
    },
}
RECORDED: dict[str, Any] = {
    "timestamp": "2026-01-02T15:06:00.000Z",
    "call": {"id": "ro_call_123"},
    "recording": {"id": "ro_rec_555", "url": "https://provider.example/a.mp3", "format": "mp3"},
    "transcript": {"text": "Bonjour", "language": "fr"},
}


STARTED_CALLS = validator(CallStartedReceived)
ENDED_CALLS = validator(CallEndedReceived)
RECORDINGS = validator(RecordingReadyReceived)


@pytest.mark.parametrize(
    ("model", "body"),
    [(STARTED_CALLS, STARTED), (ENDED_CALLS, ENDED), (RECORDINGS, RECORDED)],
)
def test_unknown_fields_are_tolerated_at_every_level(model: SchemaValidator, body: dict[str, Any]) -> None:
    body = body | {"new": 1, "call": body["call"] | {"new": {"deep": []}}}

    assert "new" not in str(model.validate_python(body))


@pytest.mark.parametrize("field", ["queue_id", "agent", "from"])
@pytest.mark.parametrize("present", [True, False])
def test_optional_field_of_a_call_may_be_absent_or_null(field: str, present: bool) -> None:
    call = {name: value for name, value in STARTED["call"].items() if name != field}
    if present:
        call[field] = None

    received = STARTED_CALLS.validate_python(STARTED | {"call": call})

    assert received["call"].get({"from": "from_"}.get(field, field)) is None


@pytest.mark.parametrize("transcript", [None, {}, {"text": None, "language": None}])
def test_transcript_may_be_missing_in_every_way(transcript: object) -> None:
    received = RECORDINGS.validate_python(RECORDED | {"transcript": transcript})

    assert not any((received.get("transcript") or {}).values())


def test_transcript_text_may_be_empty() -> None:
    received = RECORDINGS.validate_python(RECORDED | {"transcript": {"text": ""}})

    assert received["transcript"] == {"text": ""}


@pytest.mark.parametrize("duration", ["312", "312.0", 312.5, True, None, [312], float("nan"), float("inf")])
def test_nothing_is_converted_to_an_integer(duration: object) -> None:
    with pytest.raises(ValidationError):
        ENDED_CALLS.validate_python(ENDED | {"call": ENDED["call"] | {"duration_sec": duration}})


def test_a_float_that_is_an_integer_becomes_one() -> None:
    received = ENDED_CALLS.validate_python(ENDED | {"call": ENDED["call"] | {"duration_sec": 312.0}})

    assert type(received["call"]["duration_sec"]) is int


@pytest.mark.parametrize("value", [123, b"bytes", 1.5, True])
def test_nothing_is_converted_to_a_string(value: object) -> None:
    with pytest.raises(ValidationError):
        ENDED_CALLS.validate_python(ENDED | {"call": ENDED["call"] | {"hangup_cause": value}})


def test_error_does_not_show_the_value() -> None:
    with pytest.raises(ValidationError) as refusal:
        STARTED_CALLS.validate_python(STARTED | {"call": STARTED["call"] | {"to": "0601020304-private"}})

    assert "private" not in str(refusal.value)


def test_received_values_are_apart_from_the_body() -> None:
    received = STARTED_CALLS.validate_python(STARTED)

    received["call"]["id"] = "other"

    assert STARTED["call"]["id"] == "ro_call_123"


def test_timestamp_comes_out_in_utc() -> None:
    received = ENDED_CALLS.validate_python(ENDED | {"timestamp": "2026-01-02t16:05:12.5+01:00"})

    assert received["timestamp"] == "2026-01-02T15:05:12.5Z"
