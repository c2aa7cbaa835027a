"""Tables, JSON and talk: what goes where, and what received text cannot do."""

import orjson
import pytest

from ops.commands.lag import print_lag
from ops.lag import GroupLag, PartitionLag
from ops.output import say, shorten, stdout, table, write_json, write_line


def test_shorten_keeps_short_text_and_cuts_long_text() -> None:
    assert shorten("abc", 3) == "abc"
    assert shorten("abcd", 3) == "ab…"


def test_control_characters_are_shown_as_dots() -> None:
    assert shorten("a\x1b[31m\n", 20) == "a·[31m·"


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


def test_lag_shows_missing_commits_unknown_ages_and_expired_records(capsys: pytest.CaptureFixture[str]) -> None:
    partitions = (
        PartitionLag(0, committed=None, log_end=40, records=40, seconds=65.0, expired=0),
        PartitionLag(1, committed=5, log_end=30, records=20, seconds=None, expired=5),
    )

    print_lag(GroupLag("g", "raw", "Stable", partitions))

    captured = capsys.readouterr()
    assert "none" in captured.out
    assert "1 min 05 s" in captured.out
    assert "█" * 20 in captured.out
    assert "total: 60 records, 1 min 05 s, worst: partition 0" in captured.out
    assert "5 offsets" in captured.err
