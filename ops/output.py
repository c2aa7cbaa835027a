"""How commands speak: data on stdout (tables, or JSON for scripts), talk on stderr. Nothing here knows Kafka.

rich honours NO_COLOR and drops colours and boxes' width tricks when the stream is no terminal.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDE = 1000  # columns at most of a table that goes into a file or a pipe: its rows must not be wrapped


class OutputFormat(StrEnum):
    """What `-o` takes."""

    TABLE = "table"
    JSON = "json"


def stdout() -> Console:
    """The console for data."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)


def stderr() -> Console:
    """The console for talk."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def say(message: str) -> None:
    """One line of talk."""
    stderr().print(message, markup=False)


def write_json(value: object) -> None:
    """One JSON document, indented, on stdout."""
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n")


def write_text(line: str) -> None:
    """One line on stdout, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def write_line(value: Mapping[str, object]) -> None:
    """One JSON object on one line of stdout, at once."""
    write_text(orjson.dumps(value).decode())


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = ()) -> Table:
    """A table; cells are text as it stands (never markup: they may hold received bytes), `right` aligns numbers."""
    grid = Table(title=title or None, title_justify="left", title_style="bold", header_style="bold")
    for column in columns:
        grid.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(cell if isinstance(cell, Text) else Text(_plain(cell)) for cell in row))
    return grid


def _plain(cell: object) -> str:
    return "-" if cell is None else str(cell)


def shorten(text: str, characters: int) -> str:
    """`text`, or its beginning and an ellipsis; control characters cannot move the terminal's cursor."""
    printable = "".join(character if character.isprintable() else "·" for character in text)
    return printable if len(printable) <= characters else printable[: characters - 1] + "…"
