"""The command group's help and usage errors."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ops.cli import app

NOBODY = "127.0.0.1:1"
SERVERS = {"KAFKA_BOOTSTRAP_SERVERS": NOBODY, "DATABASE_URL": f"postgresql://u:hunter2@{NOBODY}/db"}


def run(command: str, **env: str) -> Result:
    cleared = dict.fromkeys(("KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL"))
    return CliRunner().invoke(
        app, ["dead-letters", *command.split()], env={**cleared, "NO_COLOR": "1", "TERM": "dumb", **env}
    )


@pytest.mark.parametrize("command", ["list", "show", "replay", "export", "import"])
def test_every_command_has_help_with_exit_codes(command: str) -> None:
    result = run(f"{command} --help")

    assert result.exit_code == 0
    assert "Exit codes" in result.stdout


def test_help_warns_of_personal_data() -> None:
    assert "UNMASKED" in run("export --help").stdout


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("show 7", "partition:offset"),
        ("replay", "--all"),
        ("replay --all --code x", "--all"),
        ("replay 0:1 --code x", "not both"),
        ("list --since yesterday", "not an age"),
        ("import /no/such/file", "cannot read"),
        ("export --file /no/such/directory/x", "cannot write"),
    ],
)
def test_usage_errors_end_with_2_and_one_line(command: str, said: str) -> None:
    result = run(command, **SERVERS)

    assert result.exit_code == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_settings_that_are_missing_are_named() -> None:
    result = run("list")

    assert result.exit_code == 2
    assert "KAFKA_BOOTSTRAP_SERVERS" in result.stderr
    assert "DATABASE_URL" in result.stderr


def test_an_export_never_overwrites(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_text("mine")

    assert run(f"export --file {file}", **SERVERS).exit_code == 2
    assert file.read_text() == "mine"


def test_a_missing_broker_is_one_line() -> None:
    result = run("list", **SERVERS)

    assert result.exit_code == 1
    assert result.stderr == f"error: no broker answers in time at {NOBODY} (KAFKA_BOOTSTRAP_SERVERS)\n"
