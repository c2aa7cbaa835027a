"""Derives event ids and keys: what tells one event from another, and which keys a call has.

Source of the formats: the customer's specification, sections 1.1 to 1.3, "Idempotence".
"""

import hashlib
from typing import NamedTuple, NewType

from schemas.events import EventType

CallId = NewType("CallId", str)
EventId = NewType("EventId", str)
IdempotencyKey = NewType("IdempotencyKey", str)
ClaimKey = NewType("ClaimKey", str)

SOURCE = "ringover"

# What every id and key of a type begins with, made once: this is done for every event.
_KEY_BEGIN = {event_type: f"{SOURCE}:{event_type}:" for event_type in EventType}
_ID_BEGUN = {event_type: hashlib.sha256(f"{SOURCE}|{event_type}|".encode()) for event_type in EventType}


def derived_event_id(event_type: EventType, call_id: str, timestamp: str) -> EventId:
    """The event id of a body that brings none: hex SHA-256, `timestamp` exactly as written in the body."""
    hashed = _ID_BEGUN[event_type].copy()
    hashed.update(f"{call_id}|{timestamp}".encode())
    return EventId(hashed.hexdigest())


def idempotency_key(event_type: EventType, call_id: str, part_id: str | None = None) -> IdempotencyKey:
    """The published key, word for word as the specification writes it.

    `part_id` is for events with a part (EventType.part): some systems send those again after reprocessing.
    Two different pairs of ids may share one published key when an id contains `:`; `claim_key` tells them apart.
    """
    key = _KEY_BEGIN[event_type] + call_id
    return IdempotencyKey(key if part_id is None else f"{key}:{part_id}")


def claim_key(event_type: EventType, call_id: str, part_id: str | None = None) -> ClaimKey:
    """The key in the state table: the idempotency key with `%` and `:` inside ids percent-escaped.

    Escaping makes the key injective (call `a:b` + recording `c` is not call `a` + recording `b:c`), and it equals the
    idempotency key for every id without those two characters. The call id inside bounds a key to one partition.
    """
    key = _KEY_BEGIN[event_type] + _escape(call_id)
    return ClaimKey(key if part_id is None else f"{key}:{_escape(part_id)}")


class CallKeys(NamedTuple):
    """Covers every claim key of a call: `exact` ones, and all of each range, from a first key to before a last one."""

    exact: tuple[ClaimKey, ...]
    ranges: tuple[tuple[str, str], ...]


def claim_keys_of_call(call_id: str) -> CallKeys:
    """The keys of a call's events: of those with a part all that go on after the call id, for the part is not known."""
    exact = [claim_key(event_type, call_id) for event_type in EventType if event_type.part is None]
    begun = [claim_key(event_type, call_id) for event_type in EventType if event_type.part is not None]
    return CallKeys(tuple(exact), tuple((f"{key}:", f"{key};") for key in begun))  # `;` is the character after `:`


def _escape(part: str) -> str:
    return part.replace("%", "%25").replace(":", "%3A") if "%" in part or ":" in part else part
