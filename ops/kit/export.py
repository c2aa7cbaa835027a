"""Exports records whole, as lines of JSON: unmasked, so a file is readable by its owner only."""

import base64
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ops.kit.errors import UsageError
from ops.kit.output import json_bytes, json_form, write_bytes

OWNER_ONLY = 0o600  # the file holds personal data


@contextmanager
def export_to(file: Path | None) -> Iterator[Callable[[object], None]]:
    """Yield what writes a record as one line: to a new file, or to stdout.

    Raises:
        UsageError: the file exists already, or cannot be made.
    """
    if file is None:
        yield lambda record: write_bytes(exported(record))
        return
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
    except OSError as error:
        raise UsageError(f"cannot write {file}: {error.strerror}") from error
    with os.fdopen(descriptor, "wb") as lines:
        yield lambda record: lines.writelines((exported(record), b"\n"))


def exported(record: object) -> bytes:
    """Return a record as JSON; bytes are text when they are UTF-8, else `{"base64": "..."}`."""
    return json_bytes(record, default=_form)


def _form(value: object) -> object:
    return json_of_bytes(value) if isinstance(value, bytes) else json_form(value)


def json_of_bytes(data: bytes | None) -> str | dict[str, str] | None:
    """Text when it is UTF-8, else `{"base64": "..."}`."""
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def bytes_of_json(value: object) -> bytes | None:
    """The inverse of `json_of_bytes`.

    Raises:
        TypeError: it is neither.
        binascii.Error: the base64 is not valid.
    """
    match value:
        case None:
            return None
        case str():
            return value.encode()
        case {"base64": str() as text, **rest} if not rest:
            return base64.b64decode(text, validate=True)
        case _:
            raise TypeError("bytes are a string or {base64}; write a body as a string, quotes escaped")
