"""Dead letters as lines of JSON, to be repaired by hand and imported again: pure.

Bytes are text when they are UTF-8, else `{"base64": "..."}`.
"""

import base64
import binascii
from typing import Any

import orjson

from ops.dead_letters.model import Letter, Origin, Why, parse_id
from ops.kit.errors import UsageError
from schemas.body import BYTE_ORDER_MARK
from schemas.dead_letter import PREFIX


def line_of(letter: Letter) -> dict[str, object]:
    """The letter as one JSON object, unmasked."""
    origin = letter.origin
    return {
        "id": str(letter.letter_id),
        "timestamp_ms": letter.timestamp_ms,
        "reason": {"stage": letter.why.stage, "code": letter.why.code, "message": letter.why.message},
        "origin": None
        if origin is None
        else {"topic": origin.topic, "partition": origin.partition, "offset": origin.offset, "group": origin.group},
        "key": _text(letter.key),
        "headers": [[name, _text(value)] for name, value in letter.headers],
        "value": _text(letter.value),
    }


def read_lines(text: bytes) -> list[Letter]:
    """The inverse of `line_of`, line by line; empty lines are passed over.

    Raises:
        UsageError: a line is none of ours; the message names the line and never its content.
    """
    letters = []
    lines = text.removeprefix(BYTE_ORDER_MARK).split(b"\n")  # some editors write the mark
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                letters.append(_letter(orjson.loads(line)))
            except orjson.JSONDecodeError as error:
                raise UsageError(f"line {number} is not JSON: {error.msg} at character {error.pos}") from error
            except (KeyError, TypeError, ValueError, UsageError) as error:
                raise UsageError(f"line {number} is not as `dead-letters export` writes it: {_wrong(error)}") from error
    return letters


def _letter(line: dict[str, Any]) -> Letter:
    reason, origin = line["reason"], line["origin"]
    headers = [(_str(name), _bytes(value)) for name, value in line["headers"]]
    return Letter(
        letter_id=parse_id(_str(line["id"])),
        timestamp_ms=int(line["timestamp_ms"]),
        key=_bytes(line["key"]),
        value=_bytes(line["value"]),
        headers=[(name, value) for name, value in headers if not name.startswith(PREFIX)],
        why=Why(_str(reason["stage"]), _str(reason["code"]), _str(reason["message"])),
        origin=None
        if origin is None
        else Origin(_str(origin["topic"]), int(origin["partition"]), int(origin["offset"]), _str(origin["group"])),
    )


def _text(data: bytes | None) -> object:
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def _bytes(value: object) -> bytes | None:
    match value:
        case None:
            return None
        case str():
            return value.encode()
        case {"base64": str() as text, **rest} if not rest:
            return base64.b64decode(text, validate=True)
        case _:
            raise TypeError("bytes are a string or {base64}; write a body as a string, quotes escaped")


def _str(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a string is missing")
    return value


def _wrong(error: Exception) -> str:
    match error:
        case KeyError():
            return f"{error.args[0]} is missing"
        case binascii.Error():
            return "base64 is not valid"
        case ValueError():
            return "a number is missing"
        case _:
            return str(error)
