"""The models of bodies as received."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from schemas.received import CallEndedReceived, CallStartedReceived, RecordingReadyReceived

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


@pytest.mark.parametrize(
    ("model", "body"),
    [(CallStartedReceived, STARTED), (CallEndedReceived, ENDED), (RecordingReadyReceived, RECORDED)],
)
def test_unknown_fields_are_tolerated_at_every_level(model: type[BaseModel], body: dict[str, Any]) -> None:
    body = body | {"new": 1, "call": body["call"] | {"new": {"deep": []}}}

    assert "new" not in model.model_validate(body).model_dump_json()


@pytest.mark.parametrize("field", ["queue_id", "agent", "from"])
@pytest.mark.parametrize("present", [True, False])
def test_optional_field_of_a_call_may_be_absent_or_null(field: str, present: bool) -> None:
    call = {name: value for name, value in STARTED["call"].items() if name != field}
    if present:
        call[field] = None

    received = CallStartedReceived.model_validate(STARTED | {"call": call})

    assert {"queue_id": received.call.queue_id, "agent": received.call.agent, "from": received.call.from_}[
        field
    ] is None


@pytest.mark.parametrize("transcript", [None, {}, {"text": None, "language": None}])
def test_transcript_may_be_missing_in_every_way(transcript: object) -> None:
    received = RecordingReadyReceived.model_validate(RECORDED | {"transcript": transcript})

    assert received.transcript is None or (received.transcript.text, received.transcript.language) == (None, None)


def test_transcript_text_may_be_empty() -> None:
    received = RecordingReadyReceived.model_validate(RECORDED | {"transcript": {"text": ""}})

    assert received.transcript is not None
    assert received.transcript.text == ""


@pytest.mark.parametrize("duration", ["312", 312.0, 312.5, True, None, [312]])
def test_nothing_is_converted_to_an_integer(duration: object) -> None:
    with pytest.raises(ValidationError):
        CallEndedReceived.model_validate(ENDED | {"call": ENDED["call"] | {"duration_sec": duration}})


@pytest.mark.parametrize("value", [123, b"bytes", 1.5, True])
def test_nothing_is_converted_to_a_string(value: object) -> None:
    with pytest.raises(ValidationError):
        CallEndedReceived.model_validate(ENDED | {"call": ENDED["call"] | {"hangup_cause": value}})


def test_error_does_not_show_the_value() -> None:
    with pytest.raises(ValidationError) as refusal:
        CallStartedReceived.model_validate(STARTED | {"call": STARTED["call"] | {"to": "0601020304-private"}})

    assert "private" not in str(refusal.value)


def test_received_values_cannot_be_changed() -> None:
    received = CallStartedReceived.model_validate(STARTED)

    with pytest.raises(ValidationError, match="frozen"):
        received.call.id = "other"  # type: ignore[misc]
