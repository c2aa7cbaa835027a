"""`ringover-ops top`: the whole pipeline on one screen."""

import asyncio
from typing import Annotated

import typer

from ops.kit.errors import EXIT_CODES
from ops.kit.options import OutputOption, reported
from ops.kit.output import OutputFormat
from ops.state.session import StateSettings
from ops.top.live import top as run
from runtime.settings import load

app = typer.Typer()


@app.command(epilog=EXIT_CODES)
def top(
    *,
    every: Annotated[float, typer.Option(min=0.2, help="Seconds between looks; rates are over this time.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="One picture, after two looks, and end.")] = False,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Rates, lag, and who processes what, live until Ctrl-C (exit code 0).

    Webhooks and processed records are counted by offsets, events and dead letters by reading what is new. Duplicates
    are derived: processed, less events, less the processors' dead letters. `-o json` is one object per look and line.
    """
    settings = load(StateSettings)
    with reported():
        asyncio.run(run(settings, every=every, once=once, as_lines=output is OutputFormat.JSON))
