"""What the commands share: the `-o` option and how an error ends a command."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from ops.errors import AWAY, EXIT_USAGE, KafkaAwayError, OpsError
from ops.output import OutputFormat, say

OutputOption = Annotated[OutputFormat, typer.Option("--output", "-o", help="Table for people, JSON for scripts.")]


@contextmanager
def reported() -> Iterator[None]:
    """End the command with the error's line on stderr and its exit code, without a traceback."""
    try:
        yield
    except OpsError as error:
        text = _with_cause(error) if isinstance(error, KafkaAwayError) else str(error)
        say(f"error: {text}", style="red")
        raise typer.Exit(error.exit_code) from None
    except UnicodeEncodeError:  # an argument of other bytes: Kafka and PostgreSQL hold nothing of that name
        say("error: an argument is not UTF-8", style="red")
        raise typer.Exit(EXIT_USAGE) from None


def _with_cause(error: KafkaAwayError) -> str:
    """The error, and what a look at the brokers' addresses shows: one may answer and send us where none does."""
    from ops.clients import why_away  # noqa: PLC0415 - as in the commands
    from runtime.settings import KafkaSettings, load  # noqa: PLC0415

    why = asyncio.run(why_away(load(KafkaSettings)))
    return str(error) if why is None else f"{error}: {why}".replace(AWAY, "no broker can be used", 1)
