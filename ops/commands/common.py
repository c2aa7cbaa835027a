"""What the commands share: the `-o` option and how an error ends a command."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from ops.errors import EXIT_USAGE, OpsError
from ops.output import OutputFormat, stderr

OutputOption = Annotated[OutputFormat, typer.Option("--output", "-o", help="Table for people, JSON for scripts.")]


@contextmanager
def reported() -> Iterator[None]:
    """End the command with the error's line on stderr and its exit code, without a traceback."""
    try:
        yield
    except OpsError as error:
        stderr().print(f"error: {error}", style="red", markup=False)
        raise typer.Exit(error.exit_code) from None
    except UnicodeEncodeError:  # an argument of other bytes: Kafka and PostgreSQL hold nothing of that name
        stderr().print("error: an argument is not UTF-8", style="red", markup=False)
        raise typer.Exit(EXIT_USAGE) from None
