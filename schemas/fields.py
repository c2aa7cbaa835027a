"""Field types shared by the models: each refuses with a code and a sentence that never repeats the value.

Values are personal data (numbers, transcripts): a reason names the rule and the field, not what stood there.
"""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

ID_MAX_CHARACTERS = 128
# E.164 (ITU-T, 2010) section 6: a country code that never starts with 0, 15 digits at most. It names no minimum; the
# shortest numbers in service (French short codes written +33 3xxx) have 6.
E164_PATTERN = r"\+[1-9][0-9]{5,14}"
REMEMBERED_CHARACTERS = 64  # no sane timestamp is longer; a fraction has no bound, and a cache must have one
INT64_MAX = 2**63 - 1  # what consumers in other languages hold in a signed 64-bit integer

_E164 = re.compile(E164_PATTERN)
# Unicode category Cc; a class that JSON Schema's regular expressions (ECMA 262) read the same way.
NO_CONTROL_PATTERN = r"^[^\x00-\x1f\x7f-\x9f]*$"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_RFC3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


def is_id(value: object) -> bool:
    """Whether `value` is a usable id: a string of 1 to 128 characters without control characters."""
    return isinstance(value, str) and 1 <= len(value) <= ID_MAX_CHARACTERS and not _CONTROL.search(value)


def utc_timestamp(text: str) -> str | None:
    """`text` (RFC 3339 with a zone) in UTC with a `Z`, fraction digits as written; None if it is not a valid one.

    Leap seconds (`:60`) are refused: Python's and most consumers' datetimes cannot hold them.
    """
    return _remembered(text) if len(text) <= REMEMBERED_CHARACTERS else _in_utc(text)


def _in_utc(text: str) -> str | None:
    match = _RFC3339.fullmatch(text)
    if match is None:
        return None
    date, time, fraction, zone = match.groups()
    try:
        moment = datetime.fromisoformat(f"{date}T{time}{'+00:00' if zone in 'Zz' else zone}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return f"{moment.replace(tzinfo=None).isoformat()}{fraction or ''}Z"


_remembered = lru_cache(maxsize=4096)(_in_utc)  # each is asked for twice: by the model and for the header


def _check_id(value: str) -> str:
    if not is_id(value):
        raise PydanticCustomError("invalid_id", "must be a string of 1 to 128 characters without control characters")
    return value


def _check_e164(value: str) -> str:
    if _E164.fullmatch(value) is None:
        raise PydanticCustomError("invalid_number", "must be an E.164 number: '+' and 6 to 15 digits")
    return value


def _check_timestamp(value: str) -> str:
    if utc_timestamp(value) is None:
        raise PydanticCustomError("invalid_timestamp", "must be an RFC 3339 date and time with a zone")
    return value


def _empty_is_absent(value: object) -> object:
    return None if value == "" else value


Id = Annotated[str, AfterValidator(_check_id)]
E164 = Annotated[str, AfterValidator(_check_e164)]
CallerNumber = Annotated[E164 | None, BeforeValidator(_empty_is_absent)]
Timestamp = Annotated[str, AfterValidator(_check_timestamp)]
NonEmpty = Annotated[str, Field(min_length=1)]
Seconds = Annotated[int, Field(ge=0, le=INT64_MAX)]
