"""`rewind` on the command line: help, and mistakes that end with one line and exit code 2."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ops.cli import app

SERVERS = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "DATABASE_URL": "postgresql://127.0.0.1:1/none"}


def run(*arguments: str, **env: str | None) -> Result:
    return CliRunner().invoke(app, ["rewind", *arguments], env={**SERVERS, "NO_COLOR": "1", "TERM": "dumb", **env})


@pytest.mark.parametrize("command", [(), ("undo",), ("log",)])
def test_help_names_the_exit_codes(command: tuple[str, ...]) -> None:
    result = run(*command, "--help")

    assert result.exit_code == 0
    assert "Exit codes" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "exactly one of --to"),
        (("--to-earliest", "--to-latest"), "exactly one of --to"),
        (("--to", "2026-11-22T14:05"), "has no zone"),
        (("--since", "yesterday"), "is not an age"),
        (("--to-earliest", "--topic", "raw:x"), "is not a topic"),
        (("--from-file", "/no/such/plan.json"), "cannot read"),
        (("--to-offset", "-1"), "--to-offset"),
        (("--to-earliest", "undo", "3"), "--to-earliest belongs after"),
        (("undo", "three"), "rewind_id"),
    ],
)
def test_mistakes_end_with_2_in_one_line(arguments: tuple[str, ...], said: str) -> None:
    result = run(*arguments)

    assert result.exit_code == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_a_plan_of_another_group_is_not_taken_for_this_one(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text('{"group": "billing", "topic": "t", "partitions": []}')

    result = run("--from-file", str(file), "--group", "shipping")

    assert result.exit_code == 2
    assert "is a plan for group billing" in result.stderr


def test_the_processors_cannot_be_rewound_without_their_database() -> None:
    result = run("--to-earliest", DATABASE_URL=None)

    assert result.exit_code == 2
    assert "DATABASE_URL is needed" in result.stderr


@pytest.mark.parametrize("arguments", [("--to-earliest",), ("undo", "3"), ("log",)])
def test_servers_that_do_not_answer_are_one_line(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)

    assert result.exit_code == 1
    assert "PostgreSQL (DATABASE_URL) does not answer" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
