"""Defines the options `-o` and `--execute`, options with a list of values, and how an error ends a command."""

import asyncio
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from ops.kit.errors import AWAY, EXIT_USAGE, KafkaAwayError, OpsError
from ops.kit.kafka import why_away
from ops.kit.output import OutputFormat, say
from runtime.settings import KafkaSettings, load

ExecuteOption = Annotated[bool, typer.Option("--execute", help="Do it; without this, only the plan is shown.")]
OutputOption = Annotated[OutputFormat, typer.Option("--output", "-o", help="Table for people, JSON for scripts.")]


def choice(values: Collection[str], text: str) -> Any:
    """An option that takes one of `values`, which are not known when the code is written: they come from a registry."""

    def checked(value: str | None) -> str | None:
        if value is not None and value not in values:
            raise typer.BadParameter(f"{value!r} is not one of {', '.join(values)}.")
        return value

    return typer.Option(metavar=f"<{'|'.join(values)}>", help=text, callback=checked, autocompletion=lambda: [*values])


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
    why = asyncio.run(why_away(load(KafkaSettings)))
    return str(error) if why is None else f"{error}: {why}".replace(AWAY, "no broker can be used", 1)
