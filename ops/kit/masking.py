"""Masks what people who need not see personal data are shown of events and bodies: hidden unless known. Pure.

What is known are the marks on the fields of schemas.normalized and schemas.received. A value appears only where a field
is marked as harmless, and only if it looks like what the mark says: another version's field, a dead letter's, a number
in a field for words are all dots.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias, get_args, get_type_hints

import orjson
from pydantic.fields import FieldInfo
from typing_extensions import is_typeddict

from schemas import headers
from schemas.events import EventType
from schemas.fields import ID_MAX_CHARACTERS, Shown, utc_timestamp

HIDDEN = "•••"
DIGITS_SHOWN = 4
DEPTH_SHOWN = 6  # the specification's bodies have 3 levels
NUMBER_HEADERS = (headers.FROM_NUMBER, headers.TO_NUMBER)

_ID = re.compile(rf"[A-Za-z0-9_.:-]{{1,{ID_MAX_CHARACTERS}}}")
_WORDS = re.compile(r"[A-Za-z_][A-Za-z0-9_. -]{0,63}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_HEADER = re.compile(r"[A-Za-z0-9_.:/-]{1,400}")  # ids, keys of two ids, times, places of records
_DIGIT_RUN = re.compile(r"[0-9]{6}")
_COUNT_DIGITS = 7  # longer than a call lasts, shorter than a telephone number
_LONG_NUMBER = re.compile(r"(\+|[0-9])[0-9 ().-]{5,}[0-9]")  # an extension's last digits are nearly all of it
_NUMBER_OR_ADDRESS = re.compile(r"\+[0-9]{6}|@")

# Written by the processors, but for NUMBER_HEADERS: extensions, short codes and addresses.
_EVENT_HEADERS = frozenset(
    {
        *("ce_specversion", "ce_type", "ce_source", "ce_dataschema", "ce_id", "ce_subject", "ce_time"),
        *("ce_idempotencykey", "ce_sourceoffset", headers.CONTENT_TYPE, headers.TRACEPARENT),
    }
)
# Written by the ingress itself, or checked by it; and by operators' commands.
_RAW_HEADERS = frozenset(
    {
        *(headers.REQUEST_ID, headers.ENDPOINT, headers.RECEIVED_AT, headers.AUTH_SCHEME, headers.AUTH_KEY_ID),
        *(headers.CONTENT_TYPE, headers.TRACEPARENT, "replayed-from", "imported-from"),
    }
)

Path: TypeAlias = tuple[str, ...]


def mask_number(number: str) -> str:
    """`+33601020304` becomes `•••0304`: the length is personal data too. Anything but a long number is hidden."""
    return f"{HIDDEN}{number[-DIGITS_SHOWN:]}" if _LONG_NUMBER.fullmatch(number) else HIDDEN


def shown_id(value: object) -> object:
    """An id as we know them; one with `+`, `@` or spaces could be a number, an address or a name."""
    return value if isinstance(value, str) and _ID.fullmatch(value) else HIDDEN


def _word(value: object) -> object:
    return HIDDEN if isinstance(value, str) and " " in value else _words(value)


def _words(value: object) -> object:
    return value if isinstance(value, str) and _WORDS.fullmatch(value) and not _DIGIT_RUN.search(value) else HIDDEN


def _time(value: object) -> object:
    return value if isinstance(value, str) and utc_timestamp(value) is not None else HIDDEN


def _count(value: object) -> object:
    return value if isinstance(value, int | float) and len(str(value)) <= _COUNT_DIGITS else HIDDEN


def _number(value: object) -> object:
    return mask_number(value) if isinstance(value, str) else HIDDEN


def _hidden(_value: object) -> object:
    return HIDDEN


_RULES: dict[Shown, Callable[[object], object]] = {
    Shown.ID: shown_id,
    Shown.WORD: _word,
    Shown.WORDS: _words,
    Shown.TIME: _time,
    Shown.COUNT: _count,
    Shown.NUMBER: _number,
    Shown.HIDDEN: _hidden,
}


def marks(model: type[Any], path: Path = ()) -> Iterator[tuple[Path, Shown | None]]:
    """Every field of a model by its path in the JSON, with its mark; None if it has none."""
    for name, hint in get_type_hints(model, include_extras=True).items():
        parts = list(_parts(hint))
        alias = next((part.alias for part in parts if isinstance(part, FieldInfo) and part.alias), name)
        nested = next((part for part in parts if is_typeddict(part)), None)
        if nested is None:
            yield (*path, alias), next((part for part in parts if isinstance(part, Shown)), None)
        else:
            yield from marks(nested, (*path, alias))


def _parts(hint: Any) -> Iterator[Any]:
    """A type hint and all that it is made of: of a union what it unites, of an Annotated what it is annotated with."""
    yield hint
    for part in get_args(hint):
        yield from _parts(part)


# Of all events in one, since nobody can tell of which event a dead body is. The body's `event` is in no model.
_RULE_IN_EVENT = {path: _RULES[mark] for event in EventType for path, mark in marks(event.normalized) if mark}
_RULE_IN_BODY = {path: _RULES[mark] for event in EventType for path, mark in marks(event.received) if mark}
_RULE_IN_BODY["event",] = _word


def masked_event(fields: object) -> object:
    """An event's value, parsed, as it may be shown; of another thing than an object only the shape stays."""
    return _masked(fields, _RULE_IN_EVENT, ())


def masked_field(name: str, value: object) -> object:
    """The value of one field of an event as it may be shown."""
    return _masked(value, _RULE_IN_EVENT, (name,))


def masked_body(document: object) -> object:
    """A webhook's body, parsed, as it may be shown."""
    return _masked(document, _RULE_IN_BODY, ())


def shown_fields(value: bytes | None, *, reveal: bool) -> dict[str, object]:
    """The fields of an event's value; empty when it is not a JSON object."""
    try:
        fields = orjson.loads(value or b"null")
    except orjson.JSONDecodeError:
        return {}
    shown = fields if reveal else masked_event(fields)
    return shown if isinstance(shown, dict) else {}


def shown_header(name: str, text: str) -> str:
    """An event's header as it may be shown."""
    return text if name in _EVENT_HEADERS and _HEADER.fullmatch(text) else HIDDEN


def shown_raw_header(name: str, value: bytes) -> str:
    """A raw record's header as it may be shown; the signature only as present, it may be tried on other bodies."""
    if name == headers.SIGNATURE:
        return "present"
    return value.decode(errors="replace") if name in _RAW_HEADERS else HIDDEN


def shown_reason(text: str) -> str:
    """A reason's header: ours, so whatever has a number or an address in it is not a reason."""
    return HIDDEN if _NUMBER_OR_ADDRESS.search(text) else text


def _masked(document: object, rules: Mapping[Path, Callable[[object], object]], path: Path) -> object:
    if len(path) > DEPTH_SHOWN:
        return HIDDEN
    if isinstance(document, Mapping):
        return {
            _name(name, position): _masked(item, rules, (*path, name))
            for position, (name, item) in enumerate(document.items(), start=1)
        }
    if isinstance(document, list):
        return [_masked(item, rules, (*path, "[]")) for item in document]
    if document is None or isinstance(document, bool):
        return document
    return rules.get(path, _hidden)(document)


def _name(name: str, position: int) -> str:
    """A field's name, unless it is itself a value; the position keeps hidden names apart."""
    return name if _NAME.fullmatch(name) and not _DIGIT_RUN.search(name) else f"{HIDDEN}{position}"
