"""The command line: help everywhere, usage errors in one line, and quick --help."""

import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import cast

import pytest
import typer.main
from typer.core import TyperGroup
from typer.testing import CliRunner, Result

from ops import cli
from ops.cli import app


def _commands(group: TyperGroup, prefix: str = "") -> Iterator[str]:
    """Every command and group of the tree, as one types it."""
    context = typer.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        command = command.load() if isinstance(command, cli.LazyCommand) else command
        yield prefix + name
        if isinstance(command, TyperGroup):
            yield from _commands(command, f"{prefix}{name} ")


COMMANDS = list(_commands(cast("TyperGroup", typer.main.get_command(app))))
LEAVES = [name for name in COMMANDS if not any(other.startswith(f"{name} ") for other in COMMANDS)]
NOBODY = "127.0.0.1:1"  # a port that no broker listens on


def run(command: str, **env: str) -> Result:
    cleared = dict.fromkeys(("KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL", "INGRESS_HMAC_SECRETS"), None)
    return CliRunner().invoke(app, command.split(), env={**cleared, "NO_COLOR": "1", "TERM": "dumb", **env})


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_command_has_help(command: str) -> None:
    result = run(f"{command} --help")

    assert result.exit_code == 0
    assert "Usage:" in result.stdout


@pytest.mark.parametrize("command", [name for name in LEAVES if not name.startswith("devstack")])
def test_help_names_the_exit_codes(command: str) -> None:
    assert "Exit codes" in run(f"{command} --help").stdout


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("topics apply", "KAFKA_BOOTSTRAP_SERVERS"),
        ("lag", "KAFKA_BOOTSTRAP_SERVERS"),
        ("tail", "KAFKA_BOOTSTRAP_SERVERS"),
        ("migrate", "DATABASE_URL"),
        ("send", "--sample"),
        ("send --sample all", "INGRESS_HMAC_SECRETS"),
        ("send --sample all --bearer", "INGRESS_BEARER_TOKENS"),
        ("send --sample all --endpoint call-ended", "--sample goes without"),
        ("send --endpoint call-ended --file /no/such/file", "cannot read"),
        ("tail --topic nothing", "--topic"),
        ("topics apply --partitions 0", "--partitions"),
        ("nothing", "nothing"),
    ],
)
def test_usage_errors_end_with_2_and_name_the_mistake(command: str, said: str) -> None:
    result = run(command)

    assert result.exit_code == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("command", ["topics apply", "lag", "tail"])
def test_a_missing_broker_is_one_line(command: str) -> None:
    result = run(command, KAFKA_BOOTSTRAP_SERVERS=NOBODY)

    assert result.exit_code == 1
    assert result.stderr == f"error: no broker answers in time at {NOBODY} (KAFKA_BOOTSTRAP_SERVERS)\n"


def test_a_missing_database_is_one_line_without_its_password() -> None:
    result = run("migrate", DATABASE_URL=f"postgresql://user:hunter2@{NOBODY}/db")

    assert result.exit_code == 1
    assert result.stderr.startswith("error: PostgreSQL (DATABASE_URL) does not answer")
    assert result.stderr.count("\n") == 1
    assert "hunter2" not in result.stderr


def test_a_missing_ingress_is_one_line() -> None:
    result = run(f"send --sample call-started --url http://{NOBODY}", INGRESS_HMAC_SECRETS="id:value")

    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: no answer from http://{NOBODY}")


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_of_the_table_is_there_and_says_what_the_table_says(name: str) -> None:
    module, summary = cli.COMMANDS[name]
    command = typer.main.get_command(import_module(module).app)

    assert " ".join((command.help or "").split()).startswith(summary.removesuffix("."))
    assert f" {name} " in CliRunner().invoke(app, ["--help"]).output


def test_help_loads_no_command() -> None:
    heavy = {"aiokafka", "psycopg", "aiohttp", "pydantic_settings"}
    script = (
        "import sys\nfrom ops.cli import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        f"sys.stderr.write(' '.join(sorted({heavy!r} & set(sys.modules))))"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stderr == ""
