"""The command line of `calls` and `rewind --diff`: help, usage errors, one line for what is away."""

import pytest
from typer.testing import CliRunner, Result

from ops.cli import app

NOBODY = "127.0.0.1:1"  # a port that no broker listens on
SERVERS = {"KAFKA_BOOTSTRAP_SERVERS": NOBODY, "DATABASE_URL": f"postgresql://user:hunter2@{NOBODY}/db"}


def run(*arguments: str, **env: str) -> Result:
    cleared = dict.fromkeys(("KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL"), None)
    return CliRunner().invoke(app, arguments, env={**cleared, "NO_COLOR": "1", "TERM": "dumb", **env})


@pytest.mark.parametrize("command", [["calls", "show"], ["calls", "replay"], ["rewind"]])
def test_help_names_the_exit_codes(command: list[str]) -> None:
    result = run(*command, "--help")

    assert result.exit_code == 0
    assert "Exit codes" in result.stdout


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["calls", "show"], "CALL_ID"),
        (["calls", "show", "a", "--since", "yesterday"], "'yesterday' is not an age"),
        (["calls", "replay", "a", "--since", "1"], "'1' is not an age"),
        (["rewind", "--to-earliest", "--diff", "--examples", "-1"], "--examples"),
        (["rewind", "--to-earliest", "--diff", "--execute"], "leave out --execute"),
        (["rewind", "--to-earliest", "--diff", "--group", "billing"], "--diff is about what the processors emit"),
    ],
)
def test_usage_errors_end_with_2_and_name_the_mistake(command: list[str], said: str) -> None:
    result = run(*command, **SERVERS)

    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_settings_are_needed() -> None:
    assert run("calls", "show", "a").exit_code == 2


@pytest.mark.parametrize("command", [["calls", "show", "a"], ["calls", "replay", "a", "--execute"]])
def test_a_missing_broker_is_one_line(command: list[str]) -> None:
    result = run(*command, **SERVERS)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"error: no broker answers in time at {NOBODY} (KAFKA_BOOTSTRAP_SERVERS)\n"
