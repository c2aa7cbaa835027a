"""Normalizes one raw record: a pure function from the record to an event or to a reason.

It depends on nothing but the record and this code, so every pass over the log gives the same bytes.
"""

import struct
from array import array
from hashlib import blake2b
from itertools import accumulate
from typing import Any

import orjson
from pydantic import ValidationError

from processors.model import Normalized, RawRecord, Rejected, Verdict
from processors.size import event_fits
from schemas.body import parse_body
from schemas.dead_letter import Code, Reason, Stage
from schemas.events import ENDPOINTS, EventType
from schemas.headers import ENDPOINT, TRACEPARENT
from schemas.identity import claim_key
from schemas.numbers import without_e164
from schemas.received import validator
from schemas.topics import MAX_OUTPUT_BYTES

MAX_DEPTH = 32  # nested arrays and objects; the specification's deepest body has 3
_STEPS = bytes.maketrans(b"{[}]", b"\x01\x01\xff\xff")  # one level down, one up (-1 as a signed byte)
_NO_BRACKETS = bytes(set(range(256)) - set(b"{}[]"))
_BIGINT = struct.Struct(">q")
_HASH_BEGUN = blake2b(digest_size=8)  # a copy is quicker than to begin anew
_new = tuple.__new__

_EVENTS = {event_type.value: event_type for event_type in EventType}
_EVENT_OF_SLUG = {slug.encode(): event_type for slug, event_type in ENDPOINTS.items()}
_VALIDATE = {event_type: validator(event_type.received).validate_python for event_type in EventType}
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
    event_type = _event_type(body, headers.get(ENDPOINT))
    if isinstance(event_type, Reason):
        return Rejected(event_type, record)
    try:
        received = _VALIDATE[event_type](body)
    except ValidationError as error:
        return Rejected(_first_mistake(error), record)
    call_id = received["call"]["id"]
    key = call_id.encode()
    if record.key != key:
        return Rejected(_reason(Code.KEY_MISMATCH, "the record's key is not the body's call.id"), record)
    part_id = received[event_type.part]["id"] if event_type.part else None
    # Copied, since orjson's bytes keep a whole page of memory each: a batch of them took most of its time to fault in.
    fields = event_type.value_of(received)
    value = b"%b" % orjson.dumps(fields)
    from_number = to_number = None
    if fields.get("to_e164", "") is None or fields.get("from_e164", "") is None:
        call = received["call"]
        from_number, to_number = without_e164(call.get("from_")), without_e164(call.get("to"))
    event = _new(  # in the order of its fields, which neither the class nor _make counts here: that takes longer
        Normalized,
        (
            event_type,
            claim_key(event_type, call_id, part_id),
            content_hash(value, from_number, to_number),
            key,
            value,
            call_id,
            part_id,
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


def _event_type(body: dict[str, Any], slug: bytes | None) -> EventType | Reason:
    """What the body says it is; `slug` names the endpoint that took it, which must agree."""
    name = body.get("event")
    if name is None:
        return _reason(Code.FIELD_MISSING, "event: Field required")
    if not isinstance(name, str):
        return _reason(Code.FIELD_WRONG_TYPE, "event: Input should be a valid string")
    event_type = _EVENTS.get(name)
    if event_type is None:
        return _reason(Code.EVENT_UNKNOWN, f"event: unknown, expected one of {', '.join(_EVENTS)}")
    if slug is not None:
        expected = _EVENT_OF_SLUG.get(slug)
        if expected is not event_type:
            return _reason(Code.EVENT_MISMATCH, f"event: {name}, but its endpoint takes {expected or 'no event'}")
    return event_type


def _first_mistake(error: ValidationError) -> Reason:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    path = ".".join(str(part) for part in first["loc"])
    kind = first["type"]
    if kind == "dict_type":
        return _reason(Code.FIELD_WRONG_TYPE, f"{path}: Input should be an object")
    code = _CODE_OF_ERROR.get(kind, Code.FIELD_WRONG_TYPE if kind.endswith("_type") else Code.FIELD_INVALID)
    return _reason(code, f"{path}: {first['msg']}")


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
