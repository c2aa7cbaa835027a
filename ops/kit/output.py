"""Writes what commands say: data on stdout (tables, or JSON for scripts), talk on stderr. Nothing here knows Kafka.

Call ids, groups, errors of servers and all else from outside is text, never markup, and cannot steer a terminal: only
this module makes rich's consoles and texts (a test holds that), and each of them escapes what cannot be seen.

rich honours NO_COLOR and drops colours and boxes' width tricks when the stream is no terminal.
"""

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from dataclasses import fields, is_dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import PurePath
from typing import Any

import orjson
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ops.kit.errors import OpsError

WIDE = 1000  # columns at most of a table that goes into a file or a pipe: its rows must not be wrapped
# Letters and marks that show nothing (Unicode's Default_Ignorable_Code_Point), though Python calls them printable.
_UNSEEN = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")


class OutputFormat(StrEnum):
    """Lists the values of `-o`."""

    TABLE = "table"
    JSON = "json"


class PlainConsole(Console):
    """A console to which every string is text: no markup, no emoji codes, nothing unseen."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str("\n".join(map(visible, text.split("\n"))), **options)


def stdout() -> Console:
    """The console for data."""
    return PlainConsole(width=None if sys.stdout.isatty() else WIDE)


def stderr() -> Console:
    """The console for talk."""
    return PlainConsole(stderr=True, soft_wrap=True)


def say(message: str, *, style: str | None = None) -> None:
    """Prints one line on stderr; a stderr that is closed ends no command."""
    with suppress(OSError):
        stderr().print(visible(message), style=style)


def write_json(value: object) -> None:
    """Writes one JSON document, indented, to stdout.

    A dataclass is its text (`__str__`) if it has one, else its public fields but those with `repr=False`, and the
    properties that its class attribute `also_in_json` names; a length of time is its seconds, a path or an exception
    its text, a set its values in order.
    """
    write_bytes(json_bytes(value, indented=True))


def json_bytes(value: object, *, indented: bool = False, default: Callable[[object], object] | None = None) -> bytes:
    """Returns what `write_json` writes; `default` converts what JSON has no form for, instead of `json_form`."""
    options = orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS | (orjson.OPT_INDENT_2 if indented else 0)
    return orjson.dumps(value, default=default or json_form, option=options)


def json_form(value: object) -> object:
    """Converts one value that JSON has no form for, as `write_json` says.

    Raises:
        TypeError: it has none.
    """
    if is_dataclass(value) and type(value).__str__ is object.__str__:
        public = (field.name for field in fields(value) if field.repr and not field.name.startswith("_"))
        names = (*public, *getattr(value, "also_in_json", ()))
        return {name: getattr(value, name) for name in names}
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Set):
        return sorted(value)
    if isinstance(value, tuple):  # a named one: orjson leaves these to us
        return value._asdict() if hasattr(value, "_asdict") else list(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, PurePath | Exception) or is_dataclass(value):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def write_text(*lines: str) -> None:
    """Lines on stdout, at once."""
    write_bytes("\n".join(map(visible, lines)).encode(sys.stdout.encoding, "backslashreplace"))


def write_line(value: object) -> None:
    """Writes one JSON object as a line of stdout, at once; see `write_json`."""
    write_bytes(json_bytes(value))


def write_bytes(line: bytes) -> None:
    """Writes one line to stdout at once: as bytes, for JSON is UTF-8 whatever the terminal speaks (RFC 8259, 8.1)."""
    sys.stdout.flush()
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


@contextmanager
def reporting(done: str | None) -> Iterator[None]:
    """Report something that has been done: if showing it fails, `done` is said on stderr and the command goes on.

    A traceback and exit code 1 after the deed would invite a second run. None: nothing was done, so it is a failure.
    """
    try:
        yield
        sys.stdout.flush()
    except (OpsError, typer.Exit):
        raise
    except Exception as error:  # whatever it is, it is not of what was done
        if done is None:
            raise
        if isinstance(error, OSError):
            _give_up_stdout()
        say(f"{done}; only showing it failed: {type(error).__name__}: {error}")


def _give_up_stdout() -> None:
    """A pipe that nobody reads or a full disk: Python would fail once more when it ends, with exit code 120."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = ()) -> Table:
    """A table; cells are text as it stands, `right` aligns numbers."""
    grid = Table(title=plain(title, "bold") if title else None, title_justify="left", header_style="bold")
    for column in columns:
        grid.add_column(plain(column), justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(cell if isinstance(cell, Text) else plain("-" if cell is None else str(cell)) for cell in row))
    return grid


def plain(text: str, style: str = "") -> Text:
    """Text of one line as rich takes it, with everything unseen escaped."""
    return Text(visible(text), style=style)


def lines_of_cell(lines: Iterable[str], style: str = "") -> Text:
    """A cell of several lines."""
    return Text("\n".join(map(visible, lines)), style=style)


def visible(text: str) -> str:
    r"""`text` with each character escaped that shows nothing or moves others: controls, bidi, zero width, surrogates.

    As in Python and JSON: `\x1b`, `\u202e`. A line end is one of them, and a space is none.
    """
    if text.isascii() and text.isprintable():
        return text
    seen = (character if character.isprintable() else _escaped(character) for character in text)
    return _UNSEEN.sub(lambda match: _escaped(match[0]), "".join(seen))


def _escaped(character: str) -> str:
    return character.encode("ascii", "backslashreplace").decode() if ord(character) > 0x7F else repr(character)[1:-1]


def shorten(text: str, characters: int) -> str:
    """`text`, everything unseen escaped, or its beginning and an ellipsis."""
    shown = visible(text)
    return shown if len(shown) <= characters else shown[: characters - 1] + "…"
