"""Decides where an authenticated body is stored: in the raw log, or in the dead letters if it has no place there. Pure.

A place in the raw log takes a usable call id, because that is the record's key; nothing else is judged here. When a
JSON key is repeated the last one wins, here and in the processors, which use the same parser.
"""

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import orjson

from ingress.dialects.specification import call_id_of, event_id_of, idempotency_key_of
from schemas.body import parse_body
from schemas.dead_letter import Code, Reason, Stage
from schemas.events import EventType
from schemas.fields import ID_MAX_CHARACTERS, is_id
from schemas.identity import CallId, EventId, IdempotencyKey

#: Why a body has no place in the raw log.
DEAD_LETTER_CODES = (Code.NOT_JSON, Code.NOT_AN_OBJECT, Code.CALL_ID_UNUSABLE)


class ToRaw(NamedTuple):
    """Directs a body to the raw log, keyed by `call_id`.

    `event_id` and `idempotency_key` are for the answer; each is None when the body lacks what it is derived from (the
    processor will make a dead letter of it).
    """

    call_id: CallId
    event_id: EventId | None
    idempotency_key: IdempotencyKey | None


@dataclass(frozen=True, slots=True)
class ToDeadLetter:
    """Directs a body to the dead letters."""

    reason: Reason


Accepted: TypeAlias = ToRaw | ToDeadLetter


def accept(event_type: EventType, body: bytes) -> Accepted:
    """Decide where the body that came to the endpoint of `event_type` belongs. Never raises."""
    try:
        document = parse_body(body)
    except orjson.JSONDecodeError as error:
        # The parser's message names a rule and a position, never the text that broke it.
        return _dead_letter(Code.NOT_JSON, f"the body cannot be read as JSON: {error.msg} (character {error.pos})")
    if not isinstance(document, dict):
        return _dead_letter(Code.NOT_AN_OBJECT, f"the body is JSON but {_kind(document)}, not an object")
    call_id = call_id_of(document)
    if not is_id(call_id):
        return _dead_letter(Code.CALL_ID_UNUSABLE, f"call.id {_fault(call_id)}")
    if document.get("event") != event_type:
        return ToRaw(call_id, None, None)
    ids = event_id_of(event_type, call_id, document), idempotency_key_of(event_type, call_id, document)
    return ToRaw(call_id, *ids)


def _fault(call_id: object) -> str:
    """What is wrong with an unusable call id, without repeating it."""
    match call_id:
        case None:
            return "is missing"
        case str() if not call_id:
            return "is empty"
        case str() if len(call_id) > ID_MAX_CHARACTERS:
            return f"is longer than {ID_MAX_CHARACTERS} characters"
        case str():
            return "contains control characters"
        case _:
            return f"is {_kind(call_id)}, not a string"


def _kind(value: object) -> str:
    """The JSON type of a parsed value, with its article."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"


def _dead_letter(code: Code, message: str) -> ToDeadLetter:
    return ToDeadLetter(Reason(Stage.ACCEPT, code, message))
