"""Exported dead letters in files and on stdout."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson

from ops.dead_letters.jsonl import line_of, read_lines
from ops.dead_letters.model import Letter
from ops.kit.errors import UsageError
from ops.kit.output import write_line

OWNER_ONLY = 0o600  # the file holds personal data


@contextmanager
def lines_to(file: Path | None) -> Iterator[Callable[[Letter], None]]:
    """Yields what writes one letter: to a new file, or to stdout.

    Raises:
        UsageError: the file exists already, or cannot be made.
    """
    if file is None:
        yield lambda letter: write_line(line_of(letter))
        return
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
    except OSError as error:
        raise UsageError(f"cannot write {file}: {error.strerror}") from error
    with os.fdopen(descriptor, "wb") as output:
        yield lambda letter: _write(output.write, letter)


def letters_in(file: Path) -> list[Letter]:
    """The letters of an exported file; `-` is stdin.

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


def _write(write: Callable[[bytes], int], letter: Letter) -> None:
    write(orjson.dumps(line_of(letter), option=orjson.OPT_APPEND_NEWLINE))
