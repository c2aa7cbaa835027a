"""The oracle: a pure function from the raw log to everything that must come out of it.

Written from the contract alone, in plain Python, and sharing no code with the processor, so that a mistake there
cannot hide here. It is slow and simple on purpose.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import orjson

Headers = tuple[tuple[str, bytes], ...]
RawHeaders = tuple[tuple[str, bytes | None], ...]

ENDPOINT_EVENTS = {
    "call-started": "call.started",
    "call-ended": "call.ended",
    "recording-ready": "call.recording_ready",
}
CALL, RECORDING = "call", "recording"


@dataclass(frozen=True)
class Raw:
    """One record of the raw log."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes
    headers: RawHeaders


@dataclass(frozen=True)
class Event:
    """One normalized event as it must be on the topic; `topic` is `call` or `recording`."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes
    headers: Headers


@dataclass(frozen=True)
class Dead:
    """One dead letter: the raw record and the code of its reason."""

    raw: Raw
    code: str


@dataclass
class Expected:
    """Everything that must come out of a raw log; events and dead letters in raw order per partition."""

    events: list[Event] = field(default_factory=list)
    dead_letters: list[Dead] = field(default_factory=list)
    duplicates: int = 0
    conflicts: int = 0
    conflicting: list[tuple[int, int]] = field(default_factory=list)  # partition and offset of each conflict
    owners: dict[tuple[str, ...], tuple[int, int]] = field(default_factory=dict)


class _BadError(Exception):
    """The record is a dead letter, with this code."""


def expected(log: Iterable[Raw], raw_topic: str) -> Expected:
    """Run the model over a whole raw log; records of one partition come in offset order."""
    result = Expected()
    first_said: dict[tuple[str, ...], object] = {}
    for raw in sorted(log, key=lambda record: (record.partition, record.offset)):
        try:
            identity, event = _event(raw, raw_topic)
        except _BadError as bad:
            result.dead_letters.append(Dead(raw, str(bad)))
            continue
        if identity in result.owners:
            result.duplicates += 1
            if _said(event) != first_said[identity]:
                result.conflicts += 1
                result.conflicting.append((raw.partition, raw.offset))
        else:
            result.owners[identity] = (raw.partition, raw.offset)
            first_said[identity] = _said(event)
            result.events.append(event)
    return result


def _said(event: Event) -> object:
    """What makes a conflict when it differs: the value, and the numbers that have no place in it."""
    return event.value, [header for header in event.headers if header[0] in ("ce_fromnumber", "ce_tonumber")]


def _event(raw: Raw, raw_topic: str) -> tuple[tuple[str, ...], Event]:
    body = _object(raw.value)
    event = _text(body, "event")
    if event not in ENDPOINT_EVENTS.values():
        raise _BadError("event_unknown")
    endpoint = dict(raw.headers).get("endpoint")
    if endpoint is not None and ENDPOINT_EVENTS.get(endpoint.decode()) != event:
        raise _BadError("event_mismatch")
    time = _utc(_text(body, "timestamp"))
    given_id = body.get("event_id")
    if given_id is not None:
        given_id = _id(body, "event_id")
    call = _child(body, "call")
    call_id = _id(call, "id")
    fields, identity = _fields(event, body, call)
    if raw.key != call_id.encode():
        raise _BadError("key_mismatch")
    digest = hashlib.sha256(f"ringover|{event}|{call_id}|{body['timestamp']}".encode()).hexdigest()
    attributes = {
        "ce_specversion": "1.0",
        "ce_type": event,
        "ce_source": "ringover",
        "ce_dataschema": f"urn:ringover-events:schema:{event}:v1",
        "content-type": "application/json",
        "ce_id": given_id or digest,
        "ce_subject": call_id,
        "ce_time": time,
        "ce_idempotencykey": ":".join(["ringover", event, *identity]),
        "ce_sourceoffset": f"{raw_topic}/{raw.partition}/{raw.offset}",
    }
    if event == "call.started":
        for name, field in (("ce_fromnumber", "from"), ("ce_tonumber", "to")):
            number = call.get(field)
            if isinstance(number, str) and _has_no_e164(number):
                attributes[name] = number
    headers = [(name, text.encode()) for name, text in attributes.items()]
    headers += [(name, value) for name, value in raw.headers if name == "traceparent" and value is not None]
    topic = RECORDING if event == "call.recording_ready" else CALL
    return (event, *identity), Event(topic, raw.partition, raw.key, orjson.dumps(fields), tuple(headers))


def _fields(event: str, body: dict[str, object], call: dict[str, object]) -> tuple[dict[str, object], tuple[str, ...]]:
    call_id = _id(call, "id")
    if event == "call.started":
        if _text(call, "direction") not in ("inbound", "outbound", "internal"):
            raise _BadError("field_invalid")
        caller = None if _withheld(call.get("from")) else _number(call, "from")
        called = _number(call, "to")
        queue = None if call.get("queue_id") is None else _id(call, "queue_id")
        agent = None if call.get("agent") is None else _child(call, "agent")
        agent_id = None if agent is None or agent.get("id") is None else _id(agent, "id")
        return {
            "call_id": call_id,
            "direction": call["direction"],
            "from_e164": caller,
            "to_e164": called,
            "queue_id": queue,
            "agent_ref": agent_id,
        }, (call_id,)
    if event == "call.ended":
        duration = _get(call, "duration_sec")
        if isinstance(duration, float) and duration.is_integer() and abs(duration) < 2**53:
            duration = int(duration)  # from 2^53 on nobody knows which integer was meant
        if not isinstance(duration, int) or isinstance(duration, bool):
            raise _BadError("field_wrong_type")
        if not 0 <= duration < 2**63:
            raise _BadError("field_invalid")
        for name in ("hangup_cause", "disposition"):
            if _text(call, name) == "":
                raise _BadError("field_invalid")
        return {
            "call_id": call_id,
            "duration_sec": duration,
            "hangup_cause": call["hangup_cause"],
            "disposition": call["disposition"],
        }, (call_id,)
    recording = _child(body, "recording")
    recording_id = _id(recording, "id")
    if _text(recording, "url") == "":
        raise _BadError("field_invalid")
    transcript = {} if body.get("transcript") is None else _child(body, "transcript")
    for name in ("text", "language"):
        if transcript.get(name) is not None:
            _text(transcript, name)
    return {
        "call_id": call_id,
        "recording_id": recording_id,
        "recording_url": recording["url"],
        "transcript_text": transcript.get("text"),
        "transcript_lang": transcript.get("language"),
    }, (call_id, recording_id)


def _object(value: bytes) -> dict[str, object]:
    mark = "\N{BYTE ORDER MARK}".encode()
    try:
        body = orjson.loads(value[3:] if value[:3] == mark else value)
    except orjson.JSONDecodeError:
        raise _BadError("not_json") from None
    if not isinstance(body, dict):
        raise _BadError("not_an_object")
    if _depth(body) > 32:
        raise _BadError("too_deep")
    return body


def _depth(value: object) -> int:
    """How deep arrays and objects nest, level by level (recursion would not survive depth 1000)."""
    level: Sequence[object] = [value]
    depth = 0
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [child for item in level for child in (item.values() if isinstance(item, dict) else item)]
    return depth


def _get(parent: dict[str, object], name: str) -> object:
    if name not in parent:
        raise _BadError("field_missing")
    return parent[name]


def _text(parent: dict[str, object], name: str) -> str:
    value = _get(parent, name)
    if name == "event" and value is None:
        raise _BadError("field_missing")
    if not isinstance(value, str):
        raise _BadError("field_invalid" if name == "direction" else "field_wrong_type")
    return value


def _child(parent: dict[str, object], name: str) -> dict[str, object]:
    value = _get(parent, name)
    if not isinstance(value, dict):
        raise _BadError("field_wrong_type")
    return value


def _id(parent: dict[str, object], name: str) -> str:
    value = _text(parent, name)
    if not 1 <= len(value) <= 128 or any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 for c in value):
        raise _BadError("field_invalid")
    return value


def _withheld(number: object) -> bool:
    words = ["anonymous", "anonyme", "restricted", "private", "unavailable", "unknown", "withheld"]
    return number is None or number == "" or (isinstance(number, str) and number.isascii() and number.lower() in words)


def _has_no_e164(number: str) -> bool:
    """An extension, a short code or a `sip:` address."""
    if number.isascii() and number.isdigit():
        return len(number) <= 6
    scheme, colon, address = number.partition(":")
    clean = not any(ord(c) <= 0x20 or 0x7F <= ord(c) < 0xA0 for c in address)
    return bool(scheme.isascii() and scheme.lower() == "sip" and colon and address and clean and len(number) <= 256)


def _number(parent: dict[str, object], name: str) -> str | None:
    value = _text(parent, name)
    if _has_no_e164(value):
        return None
    digits = value[1:]
    plain = value[:1] == "+" and digits.isascii() and digits.isdigit()
    if not plain or digits[0] == "0" or not 6 <= len(digits) <= 15:
        raise _BadError("number_invalid")
    return value


def _utc(text: str) -> str:
    found = re.fullmatch(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(\.\d+)?([Zz]|[+-]\d\d:?[0-5]\d)", text, re.ASCII)
    if found is None:
        raise _BadError("timestamp_invalid")
    day, clock, fraction, zone = found.groups()
    try:
        local = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if zone in 'zZ' else zone}")
        utc = (local - local.utcoffset()).replace(tzinfo=None)  # type: ignore[operator]  # a zone is always there
    except (ValueError, OverflowError):
        raise _BadError("timestamp_invalid") from None
    return f"{utc.isoformat()}{fraction or ''}Z"
