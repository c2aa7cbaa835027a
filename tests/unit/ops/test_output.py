"""Tables, JSON and talk: what goes where, and what received text cannot do."""

import re
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import pytest
import typer
from rich.progress import Progress

from ops.kit.errors import NotFoundError
from ops.kit.export import exported
from ops.kit.output import (
    PlainConsole,
    json_bytes,
    reporting,
    say,
    shorten,
    stdout,
    table,
    write_json,
    write_line,
    write_text,
)
from ops.kit.progress import PlainColumn
from ops.lag.cli import print_lag
from ops.lag.model import GroupLag, PartitionLag

ROOT = Path(__file__).parents[3]


def test_shorten_keeps_short_text_and_cuts_long_text() -> None:
    assert shorten("abc", 3) == "abc"
    assert shorten("abcd", 3) == "ab…"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31m\n", "a\\x1b[31m\\n"),  # C0: a terminal's escape sequence
        ("a\x85\x9b31m\x7f", "a\\x85\\x9b31m\\x7f"),  # C1 has an escape sequence of one character
        ("call-\u202e1\u2066\u2069\u200f\u061c", "call-\\u202e1\\u2066\\u2069\\u200f\\u061c"),  # bidi
        ("a\u200bb\u2060\ufeff\xad", "a\\u200bb\\u2060\\ufeff\\xad"),  # of no width
        ("\u2028\u2029\xa0", "\\u2028\\u2029\\xa0"),
        ("\ud800", "\\ud800"),
        ("\u3164\ufe0f\U000e0101\U000e0041", "\\u3164\\ufe0f\\U000e0101\\U000e0041"),
        ("[/nope] :smile: €-1 'é' \\ 漢", "[/nope] :smile: €-1 'é' \\ 漢"),
    ],
)
def test_bidi_and_control_characters_are_shown_escaped(
    text: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shorten(text, 200) == shown

    stdout().print(table(text, (text, "b"), [(text, 1)]))
    stdout().print(text.replace("\n", ""))
    say(text)
    write_text(text)

    captured = capsys.readouterr()
    title, *_ = captured.out.splitlines()
    assert title.strip() == shown
    assert captured.out.count(shown.replace("\\n", "")) == 5
    assert captured.err == f"{shown}\n"


@pytest.mark.parametrize("text", ["[/nope]", "[red]x[/red]", "[link=http://a]b", ":smile:", "[bold"])
def test_nothing_from_outside_is_markup_wherever_it_is_shown(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    stdout().print(table(text, (text,), [(text,)]))
    stdout().print(text)
    say(text)
    with Progress(PlainColumn(), console=PlainConsole(force_terminal=True), transient=True) as bar:
        bar.add_task(text, total=1)

    captured = capsys.readouterr()
    assert captured.out.count(text) >= 5
    assert captured.err == f"{text}\n"


def test_only_the_shared_module_makes_texts_and_consoles() -> None:
    made = re.compile(r"\b(Console|Text|TextColumn|Live|Panel)\(|from_markup|rich\.print|typer\.(style|secho)")
    allowed = {"output.py": "Text(", "live.py": "Live("}
    found = {
        f"{path.relative_to(ROOT)}: {match[0]}"
        for folder in ("ops", "sandbox")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for match in made.finditer(path.read_text())
        if match[0] not in allowed.get(path.name, "")
    }

    assert found == {
        "sandbox/devstack/progress.py: Console(",  # stands alone; markup is off there, too
    }


class Unshowable:
    def __rich__(self) -> str:
        raise ValueError("cannot be shown")


def test_what_was_done_is_said_when_showing_it_fails(capsys: pytest.CaptureFixture[str]) -> None:
    with reporting("3 events emitted"):
        stdout().print(Unshowable())

    assert capsys.readouterr().err == "3 events emitted; only showing it failed: ValueError: cannot be shown\n"


def test_a_plan_that_cannot_be_shown_is_a_failure() -> None:
    with pytest.raises(ValueError, match="cannot be shown"), reporting(None):
        stdout().print(Unshowable())


@pytest.mark.parametrize("error", [NotFoundError("gone"), typer.Exit(3)])
def test_an_exit_code_of_its_own_is_kept_after_the_deed(error: Exception) -> None:
    with pytest.raises(type(error)), reporting("done"):
        raise error


def test_cells_are_text_and_never_markup(capsys: pytest.CaptureFixture[str]) -> None:
    stdout().print(table("t", ("a", "b"), [("[red]x[/red]", None)]))

    shown = capsys.readouterr().out
    assert "[red]x[/red]" in shown
    assert "│ -" in shown


def test_a_long_row_is_not_wrapped_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    stdout().print(table("", ("a",), [("x" * 500,)]))

    assert "x" * 500 in capsys.readouterr().out


def test_talk_goes_to_stderr_and_data_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    say("hello [world]")
    write_json({"a": 1})
    write_line({"b": "é"})

    captured = capsys.readouterr()
    assert captured.err == "hello [world]\n"
    assert captured.out == '{\n  "a": 1\n}\n{"b":"é"}\n'
    assert orjson.loads(captured.out.splitlines()[-1]) == {"b": "é"}


@dataclass(frozen=True)
class Place:
    partition: int

    def __str__(self) -> str:
        return f"P{self.partition}"


@dataclass(frozen=True)
class Found:
    place: Place
    body: bytes = field(repr=False)


def test_a_dataclass_is_its_text_if_it_has_one_and_hides_what_its_repr_hides() -> None:
    assert orjson.loads(json_bytes(Found(Place(3), b"secret"))) == {"place": "P3"}
    with pytest.raises(TypeError, match="bytes"):
        json_bytes(b"secret")  # only an export writes such
    assert orjson.loads(exported([b"text", b"\xff", Place(3)])) == ["text", {"base64": "/w=="}, "P3"]


def test_lag_shows_missing_commits_unknown_ages_and_expired_records(capsys: pytest.CaptureFixture[str]) -> None:
    partitions = (
        PartitionLag(0, committed=None, log_end=40, lag_records=40, lag_seconds=65.0, expired_records=0),
        PartitionLag(1, committed=5, log_end=30, lag_records=20, lag_seconds=None, expired_records=5),
    )

    print_lag(GroupLag("g", "raw", "Stable", partitions))

    captured = capsys.readouterr()
    assert "none" in captured.out
    assert "1 min 05 s" in captured.out
    assert "█" * 20 in captured.out
    assert "total: 60 records, 1 min 05 s, worst: partition 0" in captured.out
    assert "5 offsets" in captured.err
