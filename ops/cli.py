"""Defines the commands of `ringover-ops`; each one's module is imported when it is called, so that --help is quick."""

from importlib import import_module
from typing import Any, NamedTuple

import typer
import typer.main
from typer.core import TyperCommand, TyperGroup

from ops.kit.errors import EXIT_CODES


class CommandEntry(NamedTuple):
    """Tells where a command is, and its line in `ringover-ops --help`; the module has a Typer `app`."""

    module: str
    summary: str


COMMANDS = {
    "topics": CommandEntry("ops.topics.cli", "The topics of schemas.topics on the broker."),
    "migrate": CommandEntry(
        "ops.migrate.cli", "Apply the numbered SQL files of processors/migrations to DATABASE_URL."
    ),
    "lag": CommandEntry(
        "ops.lag.cli", "Lag of a consumer group per partition: committed offset, log end, records behind, time behind."
    ),
    "send": CommandEntry(
        "ops.send.cli", "Post webhooks signed with the first secret of INGRESS_HMAC_SECRETS, and show the answers."
    ),
    "tail": CommandEntry(
        "ops.tail.cli", "Follow the output topics, read committed, one line per record, until Ctrl-C (exit code 0)."
    ),
    "calls": CommandEntry("ops.calls.cli", "One call: what came in, what became of it, and its events once more."),
    "dead-letters": CommandEntry("ops.dead_letters.cli", "What could not become an event."),
    "rewind": CommandEntry(
        "ops.rewind.cli",
        "Move a group's committed offsets: processors emit again what they emitted before, byte for byte.",
    ),
    "spool": CommandEntry("ops.spool.cli", "Records that an ingress keeps on its disk while Kafka does not take them."),
    "state": CommandEntry(
        "ops.state.cli", "The state table: who owns which idempotency key, and how far each partition was claimed."
    ),
    "erase": CommandEntry(
        "ops.erase.cli", "Say where a call or a number is held, erase what can go, and say until when the rest remains."
    ),
    "top": CommandEntry("ops.top.cli", "Rates, lag, and who processes what, live until Ctrl-C (exit code 0)."),
    "demo": CommandEntry("sandbox.demo.cli", "Run everything for real and check what comes out."),
    "devstack": CommandEntry("sandbox.devstack.cli", "A real Kafka and a real PostgreSQL, without Docker or root."),
}


class LazyCommand(TyperCommand):
    """Stands for a command in the list of commands; its module is imported when it is called."""

    def __init__(self, name: str, entry: CommandEntry) -> None:
        super().__init__(name, help=entry.summary)
        self._module = entry.module

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        return self.load().make_context(info_name, args, parent, **extra)

    def load(self) -> Any:
        return typer.main.get_command(import_module(self._module).app)


class LazyGroup(TyperGroup):
    """Lists the commands of the table, in its order."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> TyperCommand | None:
        entry = COMMANDS.get(cmd_name)
        return None if entry is None else LazyCommand(cmd_name, entry)


app = typer.Typer(
    name="ringover-ops",
    cls=LazyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Operate the Ringover event pipeline. Data goes to stdout, talk to stderr; NO_COLOR is respected. "
    "Kafka and PostgreSQL are found by KAFKA_BOOTSTRAP_SERVERS (and KAFKA_*) and DATABASE_URL.",
    epilog=EXIT_CODES,
)


@app.callback()
def main() -> None:
    """Make a group of it, for typer."""
