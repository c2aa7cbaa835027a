"""The command tree of `ringover-ops`: a command's module is imported when it is asked for, so that --help is quick."""

from importlib import import_module
from typing import Any, NamedTuple

import typer
import typer.main
from typer.core import TyperCommand, TyperGroup

from ops.kit.errors import EXIT_CODES


class Entry(NamedTuple):
    """Where a command is, and its line in `ringover-ops --help`; the module has a Typer `app`."""

    module: str
    summary: str


COMMANDS = {
    "topics": Entry("ops.topics.cli", "The topics of schemas.topics on the broker."),
    "migrate": Entry("ops.migrate.cli", "Apply the numbered SQL files of processors/migrations to DATABASE_URL."),
    "lag": Entry(
        "ops.lag.cli", "Lag of a consumer group per partition: committed offset, log end, records behind, time behind."
    ),
    "send": Entry(
        "ops.send.cli", "Post webhooks signed with the first secret of INGRESS_HMAC_SECRETS, and show the answers."
    ),
    "tail": Entry(
        "ops.tail.cli", "Follow the output topics, read committed, one line per record, until Ctrl-C (exit code 0)."
    ),
    "calls": Entry("ops.calls.cli", "One call: what came in, what became of it, and its events once more."),
    "dead-letters": Entry("ops.dead_letters.cli", "What could not become an event."),
    "rewind": Entry(
        "ops.rewind.cli",
        "Move a group's committed offsets: processors emit again what they emitted before, byte for byte.",
    ),
    "spool": Entry("ops.spool.cli", "What an ingress keeps on its disk while Kafka does not take it."),
    "state": Entry(
        "ops.state.cli", "The state table: who owns which idempotency key, and how far each partition was claimed."
    ),
    "erase": Entry(
        "ops.erase.cli", "Say where a call or a number is held, erase what can go, and say until when the rest remains."
    ),
    "top": Entry("ops.top.cli", "Rates, lag, and who processes what, live until Ctrl-C (exit code 0)."),
    "demo": Entry("sandbox.demo.cli", "Run everything for real and check what comes out."),
    "devstack": Entry("sandbox.devstack.cli", "A real Kafka and a real PostgreSQL, without Docker or root."),
}


class LazyCommand(TyperCommand):
    """Stands for a command in the list of commands; its module is imported when it is called."""

    def __init__(self, name: str, entry: Entry) -> None:
        super().__init__(name, help=entry.summary)
        self._module = entry.module

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """The context of the command itself, so that it is what runs."""
        return self.load().make_context(info_name, args, parent, **extra)

    def load(self) -> Any:
        """The command itself."""
        return typer.main.get_command(import_module(self._module).app)


class LazyGroup(TyperGroup):
    """The commands of the table, in its order."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> TyperCommand | None:
        """Returns the command of that name; None if there is none."""
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
    """Only so that typer makes a group of it."""
