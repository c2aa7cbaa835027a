"""Lists Ringover's events: one row each, which everything else that differs by event is derived from.

A new event is its models (schemas.received, schemas.normalized), a value function and a row here, and an example in
schemas/examples. Where it is stored, shown, masked, found, replayed and erased follows from the row.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Any, Self

from schemas.normalized import SCHEMA_VERSION, CallEnded, CallStarted, NormalizedEvent, RecordingReady
from schemas.received import CallEndedReceived, CallStartedReceived, RecordingReadyReceived
from schemas.topics import CALL, RECORDING, Topic

PATH_PREFIX = "/wh/ringover/"


# The value functions: the fields of the normalized values, in the specification's order, from a body as received.


def _started(received: CallStartedReceived) -> dict[str, object]:
    call = received["call"]
    agent = call.get("agent")
    caller, called = call.get("from_"), call["to"]
    return {
        "call_id": call["id"],
        "direction": call["direction"],
        "from_e164": caller if caller and caller[0] == "+" else None,
        "to_e164": called if called[0] == "+" else None,
        "queue_id": call.get("queue_id"),
        "agent_ref": agent.get("id") if agent else None,
    }


def _ended(received: CallEndedReceived) -> dict[str, object]:
    call = received["call"]
    return {
        "call_id": call["id"],
        "duration_sec": call["duration_sec"],
        "hangup_cause": call["hangup_cause"],
        "disposition": call["disposition"],
    }


def _recorded(received: RecordingReadyReceived) -> dict[str, object]:
    recording, transcript = received["recording"], received.get("transcript")
    return {
        "call_id": received["call"]["id"],
        "recording_id": recording["id"],
        "recording_url": recording["url"],
        "transcript_text": transcript.get("text") if transcript else None,
        "transcript_lang": transcript.get("language") if transcript else None,
    }


class EventType(StrEnum):
    """Names an event as the body's `event` field does, and holds what differs from one event to another.

    `slug`: last part of the endpoint's path, also a raw record's `endpoint` header. `received`: model of the body.
    `value_of`: makes the value's fields of a valid body. `normalized`: model of the value. `topic`: where it goes.
    `part`: the body's object, beside `call`, whose `id` ends the event's keys; None if a call has one such event.
    """

    CALL_STARTED = "call.started", "call-started", CallStartedReceived, _started, CallStarted, CALL, None
    CALL_ENDED = "call.ended", "call-ended", CallEndedReceived, _ended, CallEnded, CALL, None
    RECORDING_READY = (
        *("call.recording_ready", "recording-ready", RecordingReadyReceived, _recorded, RecordingReady, RECORDING),
        "recording",  # a call may have several, and one may be announced again after reprocessing
    )

    slug: str
    received: type[Any]
    value_of: Callable[[Any], dict[str, object]]
    normalized: type[NormalizedEvent]
    topic: Topic
    part: str | None

    def __new__(cls, name: str, *row: Any) -> Self:
        """Makes the member of a row."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.slug, member.received, member.value_of, member.normalized, member.topic, member.part = row
        return member

    __hash__ = str.__hash__  # equal to its name, so found by it; the enum's own is in Python and of another value

    @property
    def dataschema(self) -> str:
        """The URI that names the JSON Schema of this event's values (`$id` in schemas/jsonschema)."""
        return f"urn:ringover-events:schema:{self.value}:v{SCHEMA_VERSION}"


ENDPOINTS: dict[str, EventType] = {event_type.slug: event_type for event_type in EventType}
