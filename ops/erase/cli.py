"""`ringover-ops erase`: finds what is held of a call or a number, and erases what can go."""

import asyncio
import sys
from typing import Annotated

import typer

from ops.erase.run import CompleteErasures, EraseCalls
from ops.erase.subject import parse_number
from ops.kit.change import carry_out
from ops.kit.errors import EXIT_CODES, EXIT_NOT_FOUND, UsageError
from ops.kit.operator import who
from ops.kit.options import ExecuteOption, OutputOption, reported
from ops.kit.output import OutputFormat, say
from ops.kit.progress import shown_progress
from ops.kit.settings import StateSettings
from runtime.settings import load

app = typer.Typer()


@app.command(epilog=EXIT_CODES)
def erase(
    *,
    call_id: Annotated[list[str] | None, typer.Option("--call-id", help="Ringover's call.id; may be repeated.")] = None,
    number: Annotated[
        str | None,
        typer.Option(metavar="NUMBER", help="All calls with it: E.164, extension or sip:; - reads it from stdin."),
    ] = None,
    pending: Annotated[bool, typer.Option("--pending", help="What earlier erasures had to leave.")] = False,
    execute: ExecuteOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Say where a call or a number is held, erase what can go, and say until when the rest remains.

    Records of the topics cannot be deleted one by one: they leave by retention. Claims go when raw topic and dead
    letters have no record of their call any more; --execute notes the request, and `erase --pending --execute`
    completes it after that (run it every day). Exit code 4 when nothing is held.

    --number reads every topic twice. On the command line it stays in the shell's history: give `-` instead.
    """
    with reported():
        if sum((bool(call_id), number is not None, pending)) != 1:
            raise UsageError("give one of --call-id, --number and --pending")
        wanted = None if number is None else parse_number(_asked() if number == "-" else number)
        settings, ids = load(StateSettings), frozenset(call_id or ())
        change = (
            CompleteErasures(settings, shown_progress)
            if pending
            else EraseCalls(settings, shown_progress, ids, wanted, who())
        )
        plan = asyncio.run(carry_out(change, execute=execute, output=output)).plan
    if not pending and not plan.known:
        say("nothing is held of it here")
        raise typer.Exit(EXIT_NOT_FOUND)


def _asked() -> str:
    asked = typer.prompt("number", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.readline()
    return str(asked).strip()
