"""Normalize one raw record: a pure function from the record to an event or to a reason.

It depends on nothing but the record and this code, so every pass over the log gives the same bytes.
"""

import hashlib
from array import array
from itertools import accumulate
from typing import Any, TypeAlias

import orjson
from pydantic import ValidationError

from processors.model import Normalized, RawRecord, Rejected, Verdict
from processors.size import fits
from schemas.dead_letter import Code, Reason, Stage
from schemas.endpoints import ENDPOINTS
from schemas.fields import utc_timestamp
from schemas.headers import ENDPOINT, TRACEPARENT, EventHeaders, header
from schemas.identity import (
    EventId,
    EventType,
    claim_key,
    derived_event_id,
    idempotency_key,
)
from schemas.received import CallEndedReceived, CallStartedReceived, RecordingReadyReceived
from schemas.topics import MAX_OUTPUT_BYTES

MAX_DEPTH = 32  # nested arrays and objects; the specification's deepest body has 3
_STEPS = bytes.maketrans(b"{[}]", b"\x01\x01\xff\xff")  # one level down, one up (-1 as a signed byte)
_NO_BRACKETS = bytes(set(range(256)) - set(b"{}[]"))

Received: TypeAlias = CallStartedReceived | CallEndedReceived | RecordingReadyReceived

_MODELS: dict[EventType, type[Received]] = {
    EventType.CALL_STARTED: CallStartedReceived,
    EventType.CALL_ENDED: CallEndedReceived,
    EventType.RECORDING_READY: RecordingReadyReceived,
}
_CODE_OF_ERROR = {
    "missing": Code.FIELD_MISSING,
    "invalid_number": Code.NUMBER_INVALID,
    "invalid_timestamp": Code.TIMESTAMP_INVALID,
}


def normalize(record: RawRecord, *, source: str) -> Verdict:
    """Judge one raw record; `source` is `topic/partition` of the raw log, for the source offset header.

    Never raises: whatever the bytes are, the answer is a verdict.
    """
    body = _parse(record.value or b"")
    if isinstance(body, Reason):
        return Rejected(body)
    event_type = _event_type(body, record)
    if isinstance(event_type, Reason):
        return Rejected(event_type)
    try:
        received = _MODELS[event_type].model_validate(body)
    except ValidationError as error:
        return Rejected(_first_mistake(error))
    if record.key != received.call.id.encode():
        return Rejected(_reason(Code.KEY_MISMATCH, "the record's key is not the body's call.id"))
    event = _event(event_type, received, f"{source}/{record.offset}", record)
    if not fits(record.key, event.value, event.headers):
        return Rejected(_reason(Code.TOO_LARGE, f"the event would be larger than {MAX_OUTPUT_BYTES} bytes"))
    return event


def _parse(value: bytes) -> dict[str, Any] | Reason:
    try:
        body = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        return _reason(Code.NOT_JSON, f"the body is not JSON: {error.msg} at character {error.pos}")
    if not isinstance(body, dict):
        return _reason(Code.NOT_AN_OBJECT, "the body is JSON but not an object")
    if _too_deep(value):
        return _reason(Code.TOO_DEEP, f"the body nests arrays and objects more than {MAX_DEPTH} deep")
    return body


def _too_deep(value: bytes) -> bool:
    """Whether valid JSON nests deeper than MAX_DEPTH; looks inside only when the brackets alone do not settle it.

    Without a loop in Python: for a body of 1 MiB it would hold its partition, and the whole process, for a second.
    """
    if value.count(b"{") + value.count(b"[") <= MAX_DEPTH:
        return False
    unescaped = value.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in value else value
    outside_strings = b"".join(unescaped.split(b'"')[::2])
    steps = array("b", outside_strings.translate(_STEPS, _NO_BRACKETS))
    return max(accumulate(steps), default=0) > MAX_DEPTH


def _event_type(body: dict[str, Any], record: RawRecord) -> EventType | Reason:
    name = body.get("event")
    if name is None:
        return _reason(Code.FIELD_MISSING, "event: Field required")
    if not isinstance(name, str):
        return _reason(Code.FIELD_WRONG_TYPE, "event: Input should be a valid string")
    try:
        event_type = EventType(name)
    except ValueError:
        known = ", ".join(event.value for event in EventType)
        return _reason(Code.EVENT_UNKNOWN, f"event: unknown, expected one of {known}")
    slug = header(record.headers, ENDPOINT)
    if slug is not None:
        expected = ENDPOINTS.get(slug.decode("utf-8", "replace"))
        if expected is not event_type:
            wanted = expected.value if expected else "no event"
            return _reason(Code.EVENT_MISMATCH, f"event: {event_type.value}, but its endpoint takes {wanted}")
    return event_type


def _first_mistake(error: ValidationError) -> Reason:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    path = ".".join(str(part) for part in first["loc"])
    kind = first["type"]
    if kind == "model_type":
        return _reason(Code.FIELD_WRONG_TYPE, f"{path}: Input should be an object")
    code = _CODE_OF_ERROR.get(kind, Code.FIELD_WRONG_TYPE if kind.endswith("_type") else Code.FIELD_INVALID)
    return _reason(code, f"{path}: {first['msg']}")


def _event(event_type: EventType, received: Received, source_offset: str, record: RawRecord) -> Normalized:
    call_id = received.call.id
    recording_id = received.recording.id if isinstance(received, RecordingReadyReceived) else None
    value = orjson.dumps(_value(received))
    event_id = received.event_id or derived_event_id(event_type, call_id, received.timestamp)
    time = utc_timestamp(received.timestamp)
    assert time is not None  # the model has checked it
    headers = EventHeaders(
        event_type=event_type,
        event_id=EventId(event_id),
        subject=call_id,
        time=time,
        idempotency_key=idempotency_key(event_type, call_id, recording_id),
        source_offset=source_offset,
        traceparent=header(record.headers, TRACEPARENT),
    ).encode()
    return Normalized(
        event_type=event_type,
        claim_key=claim_key(event_type, call_id, recording_id),
        value=value,
        headers=headers,
        content_hash=content_hash(value),
    )


def _value(received: Received) -> dict[str, object]:
    """The fields of the normalized value, in the specification's order (schemas.normalized describes them)."""
    match received:
        case CallStartedReceived(call=call):
            return {
                "call_id": call.id,
                "direction": call.direction,
                "from_e164": call.from_,
                "to_e164": call.to,
                "queue_id": call.queue_id,
                "agent_ref": call.agent.id if call.agent else None,
            }
        case CallEndedReceived(call=ended):
            return {
                "call_id": ended.id,
                "duration_sec": ended.duration_sec,
                "hangup_cause": ended.hangup_cause,
                "disposition": ended.disposition,
            }
        case RecordingReadyReceived(call=recorded, recording=recording, transcript=transcript):
            return {
                "call_id": recorded.id,
                "recording_id": recording.id,
                "recording_url": recording.url,
                "transcript_text": transcript.text if transcript else None,
                "transcript_lang": transcript.language if transcript else None,
            }


def content_hash(value: bytes) -> int:
    """64-bit hash of a normalized value, signed (PostgreSQL bigint); tells a conflict from a plain duplicate."""
    return int.from_bytes(hashlib.blake2b(value, digest_size=8).digest(), "big", signed=True)


def _reason(code: Code, message: str) -> Reason:
    return Reason(Stage.NORMALIZE, code, message)
