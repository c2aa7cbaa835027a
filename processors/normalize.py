"""Normalizes one raw record: a pure function from the record to an event or to a reason.

It depends on nothing but the record and this code, so every pass over the log gives the same bytes.
"""

import struct
from array import array
from collections.abc import Callable
from hashlib import blake2b
from itertools import accumulate
from typing import Any, NamedTuple

import orjson
from pydantic import ValidationError

from processors.model import Normalized, RawRecord, Rejected, Verdict
from processors.size import event_fits
from schemas.body import parse_body
from schemas.dead_letter import Code, Reason, Stage
from schemas.endpoints import ENDPOINTS
from schemas.headers import ENDPOINT, TRACEPARENT
from schemas.identity import EventType, claim_key
from schemas.numbers import without_e164
from schemas.received import CallEndedReceived, CallStartedReceived, RecordingReadyReceived, validator
from schemas.topics import MAX_OUTPUT_BYTES

MAX_DEPTH = 32  # nested arrays and objects; the specification's deepest body has 3
_STEPS = bytes.maketrans(b"{[}]", b"\x01\x01\xff\xff")  # one level down, one up (-1 as a signed byte)
_NO_BRACKETS = bytes(set(range(256)) - set(b"{}[]"))
_BIGINT = struct.Struct(">q")
_HASH_BEGUN = blake2b(digest_size=8)  # a copy is quicker than to begin anew
_new = tuple.__new__

_EVENT_OF_SLUG = {slug.encode(): event_type for slug, event_type in ENDPOINTS.items()}
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
        return Rejected(body, record)
    headers = dict(record.headers)  # of a repeated name the last one counts
    kind = _kind(body, headers.get(ENDPOINT))
    if isinstance(kind, Reason):
        return Rejected(kind, record)
    try:
        received = kind.validate(body)
    except ValidationError as error:
        return Rejected(_first_mistake(error), record)
    call_id = received["call"]["id"]
    key = call_id.encode()
    if record.key != key:
        return Rejected(_reason(Code.KEY_MISMATCH, "the record's key is not the body's call.id"), record)
    recording = received.get("recording")
    recording_id = recording["id"] if recording else None
    # Copied, since orjson's bytes keep a whole page of memory each: a batch of them took most of its time to fault in.
    fields = kind.value(received)
    value = b"%b" % orjson.dumps(fields)
    from_number = to_number = None
    if fields.get("to_e164", "") is None or fields.get("from_e164", "") is None:
        call = received["call"]
        from_number, to_number = without_e164(call.get("from_")), without_e164(call["to"])
    event = _new(  # in the order of its fields, which neither the class nor _make counts here: that takes longer
        Normalized,
        (
            kind.event_type,
            claim_key(kind.event_type, call_id, recording_id),
            content_hash(value, from_number, to_number),
            key,
            value,
            call_id,
            recording_id,
            received.get("event_id"),
            body["timestamp"],
            received["timestamp"],
            headers.get(TRACEPARENT),
            source,
            record.offset,
            record.timestamp,
            from_number,
            to_number,
        ),
    )
    if not event_fits(event):
        return Rejected(_reason(Code.TOO_LARGE, f"the event would be larger than {MAX_OUTPUT_BYTES} bytes"), record)
    return event


def _parse(value: bytes) -> dict[str, Any] | Reason:
    try:
        body = parse_body(value)
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


def _kind(body: dict[str, Any], slug: bytes | None) -> "_Kind | Reason":
    """What the body says it is; `slug` names the endpoint that took it, which must agree."""
    name = body.get("event")
    if name is None:
        return _reason(Code.FIELD_MISSING, "event: Field required")
    if not isinstance(name, str):
        return _reason(Code.FIELD_WRONG_TYPE, "event: Input should be a valid string")
    kind = _KINDS.get(name)
    if kind is None:
        return _reason(Code.EVENT_UNKNOWN, f"event: unknown, expected one of {', '.join(_KINDS)}")
    if slug is not None:
        expected = _EVENT_OF_SLUG.get(slug)
        if expected is not kind.event_type:
            return _reason(Code.EVENT_MISMATCH, f"event: {name}, but its endpoint takes {expected or 'no event'}")
    return kind


def _first_mistake(error: ValidationError) -> Reason:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    path = ".".join(str(part) for part in first["loc"])
    kind = first["type"]
    if kind == "dict_type":
        return _reason(Code.FIELD_WRONG_TYPE, f"{path}: Input should be an object")
    code = _CODE_OF_ERROR.get(kind, Code.FIELD_WRONG_TYPE if kind.endswith("_type") else Code.FIELD_INVALID)
    return _reason(code, f"{path}: {first['msg']}")


# The fields of the normalized values, in the specification's order (schemas.normalized describes them).


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


class _Kind(NamedTuple):
    """Says how the body of a kind of event is validated, and makes the value of what was received."""

    event_type: EventType
    validate: Callable[[object], Any]
    value: Callable[[Any], dict[str, object]]


_KINDS = {
    kind.event_type.value: kind
    for kind in (
        _Kind(EventType.CALL_STARTED, validator(CallStartedReceived).validate_python, _started),
        _Kind(EventType.CALL_ENDED, validator(CallEndedReceived).validate_python, _ended),
        _Kind(EventType.RECORDING_READY, validator(RecordingReadyReceived).validate_python, _recorded),
    )
}


def content_hash(value: bytes, from_number: str | None = None, to_number: str | None = None) -> int:
    """Hash what an event says, 64 bit, signed (PostgreSQL bigint); tells a conflict from a plain duplicate.

    Of the value alone when no number stands beside it: the state table has hashes from before there were any.
    """
    hashed = _HASH_BEGUN.copy()
    hashed.update(value)
    if from_number or to_number:
        hashed.update(f"\0{from_number or ''}\0{to_number or ''}".encode())  # none of the three has a NUL in it
    number: int = _BIGINT.unpack(hashed.digest())[0]
    return number


def _reason(code: Code, message: str) -> Reason:
    return Reason(Stage.NORMALIZE, code, message)
