"""Values of events for people who need not see personal data: numbers masked, texts and links hidden. Pure."""

import re

import orjson

from schemas.headers import FROM_NUMBER, TO_NUMBER

HIDDEN = "•••"
DIGITS_SHOWN = 4
SHORT_NUMBER_DIGITS = 7  # of a plain JSON number: longer ones could be telephone numbers
_NUMBER_FIELDS = ("from_e164", "to_e164")
NUMBER_HEADERS = (FROM_NUMBER, TO_NUMBER)
# What was said, where to hear it, what is no event; what is too short to show a part of, or an address.
_HIDDEN_FIELDS = ("transcript_text", "recording_url", "value", *NUMBER_HEADERS)
_WORDED_FIELDS = ("hangup_cause", "disposition")  # in any other, words with spaces may be what somebody said
_COUNTED_FIELDS = ("duration_sec", "timestamp_ms")
_LONG_NUMBER = re.compile(r"(\+|[0-9])[0-9 ().-]{5,}[0-9]")  # an extension's last digits are nearly all of it
_NUMBER = re.compile(r"\+[0-9]{6,15}")  # under whatever name another version of the code puts it


def mask_number(number: str) -> str:
    """`+33601020304` becomes `•••0304`: the length is personal data too. Anything but a long number is hidden."""
    return f"{HIDDEN}{number[-DIGITS_SHOWN:]}" if _LONG_NUMBER.fullmatch(number) else HIDDEN


def shown_text(text: str) -> str:
    """An id or a word as it stands; of a telephone number the last digits, of what has one or an address nothing."""
    if _NUMBER.fullmatch(text):
        return mask_number(text)
    return HIDDEN if "@" in text or _NUMBER.search(text) else text


def shown_header(name: str, text: str) -> str:
    """An event's header as it may be shown."""
    return HIDDEN if name in NUMBER_HEADERS else shown_text(text)


def masked(name: str, value: object, *, reveal: bool) -> object:
    """A field's value as it may be shown."""
    if reveal or value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        if name in _HIDDEN_FIELDS or (" " in value and name not in _WORDED_FIELDS):
            return HIDDEN
        return mask_number(value) if name in _NUMBER_FIELDS else shown_text(value)
    if isinstance(value, int) and (name in _COUNTED_FIELDS or len(str(value)) <= SHORT_NUMBER_DIGITS):
        return value
    return HIDDEN  # no event has anything else; another version's may


def shown_value(value: bytes | None, *, reveal: bool) -> dict[str, object]:
    """The fields of an event's value; empty when it is not a JSON object."""
    try:
        fields = orjson.loads(value or b"null")
    except orjson.JSONDecodeError:
        return {}
    return (
        {name: masked(name, item, reveal=reveal) for name, item in fields.items()} if isinstance(fields, dict) else {}
    )
