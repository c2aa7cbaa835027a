"""`ringover-ops calls`: shows what is known of one call, and emits its events once more."""

import asyncio
from typing import Annotated

import typer

from ops.calls.read import read_timeline
from ops.calls.run import ReplayCall
from ops.calls.show import render
from ops.kit.change import carry_out
from ops.kit.errors import EXIT_CODES, EXIT_NOT_FOUND
from ops.kit.options import ExecuteOption, OutputOption, reported
from ops.kit.output import OutputFormat, stdout, write_json, write_text
from ops.kit.progress import shown_progress
from processors.settings import ProcessorSettings
from runtime.settings import load

app = typer.Typer(no_args_is_help=True, epilog=EXIT_CODES)

CallId = Annotated[str, typer.Argument(help="Ringover's call.id.", metavar="CALL_ID")]
Since = Annotated[str, typer.Option(help="How far back to look: 90s, 15m, 2h, 3d.")]


@app.callback()
def calls() -> None:
    """One call: what came in, what became of it, and its events once more."""


@app.command(epilog=EXIT_CODES)
def show(
    call_id: CallId,
    since: Since = "30d",
    reveal: Annotated[bool, typer.Option("--reveal", help="Whole numbers, transcripts and bodies.")] = False,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Everything known of a call, in raw order: did we get it, and what did we do with it?

    Its webhooks with the verdict of this version's code, what the topics hold of each (once for every pass), and its
    claims. Reads the call's partition of each topic. A call that nothing is known of ends with exit code 4.
    """
    settings = load(ProcessorSettings)
    with reported():
        timeline = asyncio.run(read_timeline(settings, call_id, since, shown_progress, reveal=reveal))
    if output is OutputFormat.JSON:
        write_json(timeline)
    else:
        write_text(timeline.summary)
        for grid in render(timeline):
            stdout().print(grid)
    if not timeline.known:
        raise typer.Exit(EXIT_NOT_FOUND)


@app.command(epilog=EXIT_CODES)
def replay(
    call_id: CallId,
    since: Since = "30d",
    execute: ExecuteOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Emit a call's events once more, byte for byte as every pass does, without moving any group.

    All in one transaction, in raw order, on the partition they are on. Duplicates stay silent, dead letters are not
    repeated, nothing is claimed. Refused with exit code 6 while webhooks of the call are not processed yet; exit code
    4 when the call has no event.
    """
    change = ReplayCall(load(ProcessorSettings), call_id, since, shown_progress)
    with reported():
        asyncio.run(carry_out(change, execute=execute, output=output))
