"""What may be shown of a dead body without --reveal: pure.

A dead letter is by definition not what we expect, so nothing is shown because of what it is not: a value appears only
where the specification has a harmless field, and only if it looks like one. Everything else becomes dots.
"""

import re
from collections.abc import Callable, Mapping

from ops.kit.masking import HIDDEN, mask_number
from schemas import headers
from schemas.fields import utc_timestamp

DEPTH_SHOWN = 6  # the specification's bodies have 3 levels

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_. -]{0,63}")
_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_DIGIT_RUN = re.compile(r"[0-9]{6}")
_SECONDS_DIGITS = 7  # longer than a call lasts, shorter than a telephone number

Shown = Callable[[object], object]


def shown_id(value: object) -> object:
    """An id as we know them; one with `+`, `@` or spaces could be a number, an address or a name."""
    return value if isinstance(value, str) and _ID.fullmatch(value) else HIDDEN


def _word(value: object) -> object:
    return value if isinstance(value, str) and _WORD.fullmatch(value) and not _DIGIT_RUN.search(value) else HIDDEN


def _time(value: object) -> object:
    return value if isinstance(value, str) and utc_timestamp(value) is not None else HIDDEN


def _seconds(value: object) -> object:
    return value if isinstance(value, int | float) and len(str(value)) <= _SECONDS_DIGITS else HIDDEN


def _number(value: object) -> object:
    """The last digits of what looks like a telephone number; of anything else nothing."""
    return mask_number(value) if isinstance(value, str) else HIDDEN


_FIELDS: dict[tuple[str, ...], Shown] = {
    ("event",): _word,
    ("timestamp",): _time,
    ("event_id",): shown_id,
    ("call", "id"): shown_id,
    ("call", "direction"): _word,
    ("call", "from"): _number,
    ("call", "to"): _number,
    ("call", "queue_id"): shown_id,
    ("call", "agent", "id"): shown_id,
    ("call", "duration_sec"): _seconds,
    ("call", "hangup_cause"): _word,
    ("call", "disposition"): _word,
    ("recording", "id"): shown_id,
    ("transcript", "language"): _word,
}

# Written by the ingress itself, or checked by it.
_HEADERS = (
    headers.REQUEST_ID,
    headers.ENDPOINT,
    headers.RECEIVED_AT,
    headers.AUTH_SCHEME,
    headers.AUTH_KEY_ID,
    headers.CONTENT_TYPE,
    headers.TRACEPARENT,
    "replayed-from",
    "imported-from",
)


def masked(document: object, path: tuple[str, ...] = ()) -> object:
    """A parsed body with everything hidden that is not known to be harmless; its shape stays."""
    if len(path) > DEPTH_SHOWN:
        return HIDDEN
    if isinstance(document, Mapping):
        return {_name(name, position): masked(item, (*path, name)) for position, (name, item) in _numbered(document)}
    if isinstance(document, list):
        return [masked(item, (*path, "[]")) for item in document]
    if document is None or isinstance(document, bool):
        return document
    return _FIELDS.get(path, _hidden)(document)


def masked_header(name: str, value: bytes) -> str:
    """A header's value; the signature only as present, since it may be tried on other bodies."""
    if name == headers.SIGNATURE:
        return "present"
    return value.decode(errors="replace") if name in _HEADERS else HIDDEN


def _hidden(_value: object) -> object:
    return HIDDEN


def _numbered(document: Mapping[str, object]) -> list[tuple[int, tuple[str, object]]]:
    return list(enumerate(document.items(), start=1))


def _name(name: str, position: int) -> str:
    """A field's name, unless it is itself a value; the position keeps hidden names apart."""
    return name if _NAME.fullmatch(name) and not _DIGIT_RUN.search(name) else f"{HIDDEN}{position}"
