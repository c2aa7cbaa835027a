"""Writes what is exported unmasked: files for their owner's eyes only, and bytes as JSON has them."""

import base64
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ops.kit.errors import UsageError

OWNER_ONLY = 0o600  # the file holds personal data


@contextmanager
def private_file(path: Path) -> Iterator[BinaryIO]:
    """Yields a new file that its owner alone can read.

    Raises:
        UsageError: the file exists already, or cannot be made.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    with os.fdopen(descriptor, "wb") as file:
        yield file


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
