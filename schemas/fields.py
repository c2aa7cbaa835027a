"""Defines the fields' types: what each refuses, and what of its values people may see who need no personal data.

Values are personal data (numbers, transcripts): a reason names the rule and the field, not what stood there.
"""

import re
from datetime import UTC, datetime
from enum import Enum, auto
from functools import lru_cache
from typing import Annotated

from pydantic import AfterValidator, Field, GetPydanticSchema, WithJsonSchema
from pydantic_core import PydanticCustomError, core_schema

from schemas.numbers import CALLED_PATTERN, CALLER_PATTERN, NUMBER_MAX_CHARACTERS

ID_MAX_CHARACTERS = 128
INT64_MAX = 2**63 - 1  # what consumers in other languages hold in a signed 64-bit integer
_FLOAT_EXACT = 2**53  # below it a float is the integer that was written; from it on it may be a neighbour's

# Unicode category Cc; a class that JSON Schema's regular expressions (ECMA 262) read the same way.
NO_CONTROL_PATTERN = r"^[^\x00-\x1f\x7f-\x9f]*$"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# RFC 3339, in two parts: the first 19 characters, and what follows. PHP and strftime leave out the offset's colon.
_SECOND_CHARACTERS = 19
_SECOND = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2})")
_FRACTION_AND_ZONE = re.compile(r"(\.[0-9]+)?([Zz]|[+-][0-9]{2}:?[0-5][0-9])")
_CACHED_CHARACTERS = 40  # longer timestamps are valid, but must not fill a cache


class Shown(Enum):
    """Marks what of a field's value may be shown: all of it if it looks like that, unless said otherwise.

    Every field of the models has a mark in its type; ops.kit.masking hides what has none.
    """

    ID = auto()
    WORD = auto()
    WORDS = auto()  # some, of Ringover's own; in any other field, words with spaces may be what somebody said
    TIME = auto()
    COUNT = auto()
    NUMBER = auto()  # a telephone number: its last digits
    HIDDEN = auto()  # nothing


def is_id(value: object) -> bool:
    """Whether `value` is a usable id: a string of 1 to 128 characters without control characters."""
    return isinstance(value, str) and 1 <= len(value) <= ID_MAX_CHARACTERS and not _CONTROL.search(value)


def utc_timestamp(text: str) -> str | None:
    """`text` (RFC 3339 with a zone) in UTC with a `Z`, fraction digits as written; None if it is not a valid one.

    Leap seconds (`:60`) are refused: Python's and most consumers' datetimes cannot hold them.
    """
    split = _cached_split if len(text) <= _CACHED_CHARACTERS else _split
    rest = split(text[_SECOND_CHARACTERS:])
    if rest is None:
        return None
    fraction, zone = rest
    moment = _in_utc(text[:_SECOND_CHARACTERS], zone)
    return None if moment is None else f"{moment}{fraction}Z"


def _split(rest: str) -> tuple[str, str] | None:
    """Fraction and zone; None if they are not valid."""
    match = _FRACTION_AND_ZONE.fullmatch(rest)
    return None if match is None else (match[1] or "", match[2])


_cached_split = lru_cache(maxsize=4096)(_split)  # few senders tell more than milliseconds


@lru_cache(maxsize=4096)  # records that follow each other share their seconds
def _in_utc(second: str, zone: str) -> str | None:
    match = _SECOND.fullmatch(second)
    if match is None:
        return None
    date, time = match.groups()
    try:
        moment = datetime.fromisoformat(f"{date}T{time}{'+00:00' if zone in 'Zz' else zone}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment.replace(tzinfo=None).isoformat()


def _checked(
    code: str, sentence: str, *, pattern: str, min_length: int | None = None, max_length: int | None = None
) -> GetPydanticSchema:
    """A string of this form; another one is refused with our code and sentence, and what is no string with pydantic's.

    Checked inside pydantic's core: a validator in Python costs more than all of the rest of a small body. Its regular
    expressions match `$` at the very end only.
    """
    form = core_schema.str_schema(strict=True, min_length=min_length, max_length=max_length, pattern=pattern)
    refused = core_schema.custom_error_schema(form, custom_error_type=code, custom_error_message=sentence)
    schema = core_schema.chain_schema([core_schema.str_schema(strict=True), refused])
    return GetPydanticSchema(lambda _source, _handler: schema)


def _number(pattern: str) -> GetPydanticSchema:
    sentence = "must be an E.164 number ('+' and 6 to 15 digits), 1 to 6 digits, or a sip: address"
    return _checked("invalid_number", sentence, max_length=NUMBER_MAX_CHARACTERS, pattern=f"^({pattern})$")


def _integer(least: int, most: int) -> GetPydanticSchema:
    """An integer as JSON Schema has it: `312.0` and `1e2` are some, and come out as int; `312.5`, `"312"` are not.

    A float from 2^53 on is refused: which integer the sender wrote can no longer be told.
    """
    exact = core_schema.float_schema(strict=True, gt=-_FLOAT_EXACT, lt=_FLOAT_EXACT, allow_inf_nan=False)
    whole = core_schema.union_schema(
        [core_schema.int_schema(strict=True), core_schema.chain_schema([exact, core_schema.int_schema(strict=False)])],
        mode="left_to_right",
        custom_error_type="int_type",  # and not one error for each way to be an integer
    )
    schema = core_schema.chain_schema([whole, core_schema.int_schema(strict=True, ge=least, le=most)])
    return GetPydanticSchema(lambda _source, _handler: schema)


def _to_utc(text: str) -> str:
    utc = utc_timestamp(text)
    if utc is None:
        raise PydanticCustomError("invalid_timestamp", "must be an RFC 3339 date and time with a zone")
    return utc


Id = Annotated[
    str,
    _checked(
        "invalid_id",
        "must be a string of 1 to 128 characters without control characters",
        min_length=1,
        max_length=ID_MAX_CHARACTERS,
        pattern=NO_CONTROL_PATTERN,
    ),
    Shown.ID,
]
# As received here, also what becomes null in the event: see schemas.numbers.
CalledNumber = Annotated[str, _number(CALLED_PATTERN), Shown.NUMBER]
CallerNumber = Annotated[str, _number(CALLER_PATTERN), Shown.NUMBER] | None
Timestamp = Annotated[str, AfterValidator(_to_utc), Shown.TIME]  # comes out in UTC
Words = Annotated[str, Field(min_length=1), Shown.WORDS]
Url = Annotated[str, Field(min_length=1), Shown.HIDDEN]
Seconds = Annotated[
    int, _integer(0, INT64_MAX), WithJsonSchema({"type": "integer", "minimum": 0, "maximum": INT64_MAX}), Shown.COUNT
]
