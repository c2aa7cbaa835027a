"""Exports records whole, as lines of JSON: unmasked, so a file is readable by its owner only."""

import base64
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ops.kit.errors import UsageError
from ops.kit.output import json_bytes, json_form, write_bytes

OWNER_ONLY = 0o600


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
    if not isinstance(value, bytes):
        return json_form(value)
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}
