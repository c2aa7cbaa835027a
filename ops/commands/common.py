"""What the commands share: the `-o` option and how an error ends a command."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from ops.errors import OpsError
from ops.output import OutputFormat, say

OutputOption = Annotated[OutputFormat, typer.Option("--output", "-o", help="Table for people, JSON for scripts.")]


@contextmanager
def reported() -> Iterator[None]:
    """End the command with the error's line on stderr and its exit code, without a traceback."""
    try:
        yield
    except OpsError as error:
        say(f"error: {error}", style="red")
        raise typer.Exit(error.exit_code) from None
