"""Values of events for people who need not see personal data: numbers masked, transcripts cut. Pure."""

import re

import orjson

from ops.output import shorten

HIDDEN = "•••"
DIGITS_SHOWN = 4
TRANSCRIPT_CHARACTERS = 24
_NUMBER_FIELDS = ("from_e164", "to_e164")
_TRANSCRIPT = "transcript_text"
_LIKE_A_NUMBER = re.compile(r"\+[0-9]{6,15}")  # under whatever name another version of the code puts it


def mask_number(number: str) -> str:
    """`+33601020304` becomes `•••0304`: the length is personal data too."""
    return f"{HIDDEN}{number[-DIGITS_SHOWN:]}" if len(number) > DIGITS_SHOWN else HIDDEN


def masked(name: str, value: object, *, reveal: bool) -> object:
    """A field's value as it may be shown."""
    if reveal or not isinstance(value, str):
        return value
    if name == _TRANSCRIPT:
        return shorten(value, TRANSCRIPT_CHARACTERS)
    if name in _NUMBER_FIELDS or _LIKE_A_NUMBER.fullmatch(value):
        return mask_number(value)
    return value


def shown_value(value: bytes | None, *, reveal: bool) -> dict[str, object]:
    """The fields of an event's value; empty when it is not a JSON object."""
    try:
        fields = orjson.loads(value or b"null")
    except orjson.JSONDecodeError:
        return {}
    return (
        {name: masked(name, item, reveal=reveal) for name, item in fields.items()} if isinstance(fields, dict) else {}
    )
