"""Shows a record of an output topic as a line for a person, or as a JSON object for a script: pure.

Unless revealed, phone numbers are masked but for the last digits, transcripts and links hidden, and of a dead letter's
body only what is known to be harmless is shown, for people and scripts alike.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from ops.kit.dead_letter import is_dead_letter, origin_of, reason_of
from ops.kit.export import json_of_bytes
from ops.kit.masking import HIDDEN, masked_body, masked_event, shown_header, shown_id, shown_raw_header, shown_reason
from ops.kit.output import shorten
from schemas import dead_letter
from schemas.body import parse_body
from schemas.headers import AnyHeaders, header

VALUE_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class RecordView:
    """Holds a record as consumed; `timestamp` in ms."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: AnyHeaders


def human_line(record: RecordView, *, reveal: bool) -> str:
    """One line: time, what, of which call, and its fields or its reason."""
    if is_dead_letter(record.headers):
        return _dead_letter_line(record, reveal=reveal)
    parts = [_header_text(record, "ce_time"), _header_text(record, "ce_type"), _key(record, reveal=reveal)]
    value = _json(record.value)
    fields = value if reveal else masked_event(value)
    if isinstance(fields, Mapping):
        parts += [f"{name}={'-' if item is None else item}" for name, item in fields.items() if name != "call_id"]
    elif reveal:
        parts.append(_text(record.value))
    return "  ".join(shorten(part, 4096) for part in parts)


def json_object(record: RecordView, *, reveal: bool) -> dict[str, object]:
    """The record; revealed, a value that is not JSON comes as text, or as `{"base64": ...}` if it is not UTF-8."""
    place: dict[str, object] = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
    if reveal:
        headers = {name: json_of_bytes(value) for name, value in record.headers}
        return place | {"key": json_of_bytes(record.key), "headers": headers, "value": _json(record.value)}
    return place | {
        "key": None if record.key is None else _key(record, reveal=False),
        "headers": {name: _shown_header(record, name, value) for name, value in record.headers},
        "value": _shown_value(record),
    }


def _dead_letter_line(record: RecordView, *, reveal: bool) -> str:
    reason, origin = reason_of(record.headers), origin_of(record.headers)
    where = f"{origin.topic}/{origin.partition}/{origin.offset}" if origin else "from the ingress"
    parts = ["dead letter", f"{reason.stage}:{reason.code}", _key(record, reveal=reveal), reason.message or "-", where]
    if reveal:
        parts.append(shorten(_text(record.value), VALUE_CHARACTERS))
    return "  ".join(shorten(part, 4096) for part in parts)


def _key(record: RecordView, *, reveal: bool) -> str:
    text = _text(record.key)
    return text if reveal or record.key is None else str(shown_id(text))


def _shown_header(record: RecordView, name: str, value: bytes | None) -> str | None:
    if value is None:
        return None
    if not is_dead_letter(record.headers):
        return shown_header(name, _text(value))
    return shown_reason(_text(value)) if name.startswith(dead_letter.PREFIX) else shown_raw_header(name, value)


def _shown_value(record: RecordView) -> object:
    if record.value is None:
        return None
    try:
        value = parse_body(record.value)
    except orjson.JSONDecodeError:
        return HIDDEN
    if not isinstance(value, dict):
        return HIDDEN
    return masked_body(value) if is_dead_letter(record.headers) else masked_event(value)


def _header_text(record: RecordView, name: str) -> str:
    return _text(header(record.headers, name))


def _text(data: bytes | None) -> str:
    return "-" if data is None else data.decode(errors="replace")


def _json(data: bytes | None) -> object:
    if data is None:
        return None
    try:
        return parse_body(data)
    except orjson.JSONDecodeError:
        return json_of_bytes(data)
