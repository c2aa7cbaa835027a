"""The models of normalized values."""

import pytest
from pydantic import ValidationError

from schemas.events import EventType
from schemas.normalized import CallEnded

FIELDS = {
    EventType.CALL_STARTED: ["call_id", "direction", "from_e164", "to_e164", "queue_id", "agent_ref"],
    EventType.CALL_ENDED: ["call_id", "duration_sec", "hangup_cause", "disposition"],
    EventType.RECORDING_READY: ["call_id", "recording_id", "recording_url", "transcript_text", "transcript_lang"],
}
ENDED = {"call_id": "ro_call_123", "duration_sec": 312, "hangup_cause": "normal_clearing", "disposition": "answered"}


@pytest.mark.parametrize("event_type", EventType)
def test_fields_are_the_specifications_in_its_order_and_all_required(event_type: EventType) -> None:
    fields = event_type.normalized.model_fields

    assert list(fields) == FIELDS[event_type]
    assert all(field.is_required() for field in fields.values())


def test_value_cannot_be_changed() -> None:
    event = CallEnded.model_validate(ENDED)

    with pytest.raises(ValidationError, match="frozen"):
        event.duration_sec = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    "change", [{"extra": 1}, {"duration_sec": "312"}, {"duration_sec": -1}, {"duration_sec": 2**63}, {"call_id": ""}]
)
def test_anything_beyond_the_contract_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        CallEnded.model_validate(ENDED | change)


def test_schema_uri_names_event_and_version() -> None:
    assert EventType.CALL_ENDED.dataschema == "urn:ringover-events:schema:call.ended:v1"
