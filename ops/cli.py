# ruff: noqa: PLC0415 - a command imports what it works with when it runs: --help must be quick
"""The command tree of `ringover-ops`. Light on purpose: a command's --help must not wait for another's imports."""

import typer
import typer.main
from typer.core import TyperGroup

from ops.commands import calls, dead_letters, demo, erase, lag, migrate, rewind, send, spool, state, tail, top, topics
from ops.errors import EXIT_CODES

app = typer.Typer(
    name="ringover-ops",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Operate the Ringover event pipeline. Data goes to stdout, talk to stderr; NO_COLOR is respected. "
    "Kafka and PostgreSQL are found by KAFKA_BOOTSTRAP_SERVERS (and KAFKA_*) and DATABASE_URL.",
    epilog=EXIT_CODES,
)


class DevstackGroup(TyperGroup):
    """`devstack` and its commands, imported when one of them is asked for."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        """The names of its commands."""
        return _devstack().list_commands(ctx)

    def get_command(self, ctx: typer.Context, cmd_name: str):  # type: ignore[override,no-untyped-def]
        """One of its commands."""
        return _devstack().get_command(ctx, cmd_name)


def _devstack() -> TyperGroup:
    from ops.devstack.cli import app as devstack

    group = typer.main.get_command(devstack)
    assert isinstance(group, TyperGroup)
    return group


app.add_typer(topics.app, name="topics")
app.command(epilog=EXIT_CODES)(migrate.migrate)
app.command(epilog=EXIT_CODES)(lag.lag)
app.command(epilog=EXIT_CODES)(send.send)
app.command(epilog=EXIT_CODES)(tail.tail)
app.add_typer(calls.app, name="calls")
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(rewind.app, name="rewind")
app.add_typer(spool.app, name="spool")
app.add_typer(state.app, name="state")
app.command(epilog=EXIT_CODES)(erase.erase)
app.command(epilog=EXIT_CODES)(top.top)
app.command(epilog=EXIT_CODES)(demo.demo)
app.add_typer(
    typer.Typer(cls=DevstackGroup, no_args_is_help=True),
    name="devstack",
    help="A real Kafka and a real PostgreSQL, without Docker or root.",
)
