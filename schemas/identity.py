"""Identity of events: what an occurrence is called, and what deduplication compares.

Source of the formats: the customer's specification, sections 1.1 to 1.3, "Idempotence".
"""

import hashlib
from enum import StrEnum
from typing import NewType

CallId = NewType("CallId", str)
EventId = NewType("EventId", str)
IdempotencyKey = NewType("IdempotencyKey", str)
ClaimKey = NewType("ClaimKey", str)

SOURCE = "ringover"


class EventType(StrEnum):
    """The events that Ringover sends, by the name in the body's `event` field."""

    CALL_STARTED = "call.started"
    CALL_ENDED = "call.ended"
    RECORDING_READY = "call.recording_ready"

    __hash__ = str.__hash__  # equal to its name, so found by it; the enum's own is in Python and of another value


# What every id and key of a type begins with, made once: this is done for every event.
_KEY_BEGIN = {event_type: f"{SOURCE}:{event_type}:" for event_type in EventType}
_ID_BEGUN = {event_type: hashlib.sha256(f"{SOURCE}|{event_type}|".encode()) for event_type in EventType}


def derived_event_id(event_type: EventType, call_id: str, timestamp: str) -> EventId:
    """The event id of a body that brings none: hex SHA-256, `timestamp` exactly as written in the body."""
    hashed = _ID_BEGUN[event_type].copy()
    hashed.update(f"{call_id}|{timestamp}".encode())
    return EventId(hashed.hexdigest())


def idempotency_key(event_type: EventType, call_id: str, recording_id: str | None = None) -> IdempotencyKey:
    """The published key, word for word as the specification writes it.

    `recording_id` belongs to `call.recording_ready` alone: some systems emit that event again after reprocessing.
    Two different pairs of ids may share one published key when an id contains `:`; `claim_key` tells them apart.
    """
    key = _KEY_BEGIN[event_type] + call_id
    return IdempotencyKey(key if recording_id is None else f"{key}:{recording_id}")


def claim_key(event_type: EventType, call_id: str, recording_id: str | None = None) -> ClaimKey:
    """The key in the state table: the idempotency key with `%` and `:` inside ids percent-escaped.

    Escaping makes the key injective (call `a:b` + recording `c` is not call `a` + recording `b:c`), and it equals the
    idempotency key for every id without those two characters. The call id inside bounds a key to one partition.
    """
    key = _KEY_BEGIN[event_type] + _escape(call_id)
    return ClaimKey(key if recording_id is None else f"{key}:{_escape(recording_id)}")


def _escape(part: str) -> str:
    return part.replace("%", "%25").replace(":", "%3A") if "%" in part or ":" in part else part
