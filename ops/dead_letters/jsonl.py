"""Reads dead letters back from lines of JSON, as `dead-letters export` writes them and an operator has repaired them.

Bytes are text when they are UTF-8, else `{"base64": "..."}`. Errors never show what a line holds.
"""

import binascii
import sys
from pathlib import Path
from typing import Any

import orjson

from ops.dead_letters.model import Letter, parse_id
from ops.kit.dead_letter import StatedReason
from ops.kit.errors import UsageError
from ops.kit.export import bytes_of_json
from schemas.body import BYTE_ORDER_MARK
from schemas.dead_letter import PREFIX, Origin


def letters_in(file: Path) -> list[Letter]:
    """Read the letters of an exported file; `-` is stdin.

    Raises:
        UsageError: it cannot be read, or is not such a file.
    """
    try:
        text = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from error
    letters = read_lines(text)
    if not letters:
        raise UsageError(f"{file} has no dead letters")
    return letters


def read_lines(text: bytes) -> list[Letter]:
    """Read letters line by line; empty lines are passed over.

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
    headers = [(_str(name), bytes_of_json(value)) for name, value in line["headers"]]
    return Letter(
        id=parse_id(_str(line["id"])),
        timestamp_ms=int(line["timestamp_ms"]),
        reason=StatedReason(_str(reason["stage"]), _str(reason["code"]), _str(reason["message"])),
        origin=None
        if origin is None
        else Origin(_str(origin["topic"]), int(origin["partition"]), int(origin["offset"]), _str(origin["group"])),
        key=bytes_of_json(line["key"]),
        headers=[(name, value) for name, value in headers if not name.startswith(PREFIX)],
        value=bytes_of_json(line["value"]),
    )


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
