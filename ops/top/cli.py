"""`ringover-ops top`: the whole pipeline on one screen."""

import asyncio
from typing import Annotated

import typer

from ops.kit.errors import EXIT_CODES
from ops.kit.options import OutputOption, reported
from ops.kit.output import OutputFormat
from ops.kit.settings import LagSettings, StateSettings
from ops.top.live import top as run
from ops.top.live import top_of_group
from runtime.settings import load

app = typer.Typer()


@app.command(epilog=EXIT_CODES)
def top(
    *,
    every: Annotated[float, typer.Option(min=0.2, help="Seconds between looks; rates are over this time.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="One picture, after two looks, and end.")] = False,
    group: Annotated[str | None, typer.Option(help="Only the lag of this consumer group, and its pace.")] = None,
    topic: Annotated[str | None, typer.Option(help="With --group: full topic name; default: the raw topic.")] = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Rates, lag, and who processes what, live until Ctrl-C (exit code 0).

    Webhooks and processed records are counted by offsets, events and dead letters by reading what is new. Duplicates
    are derived: processed, less events, less the processors' dead letters. `-o json` is one object per look and line.
    With --group, also of a team downstream: its lag, the pace of each partition, and the time until it has caught up.
    """
    as_lines = output is OutputFormat.JSON
    if topic is not None and group is None:
        raise typer.BadParameter("--topic goes with --group")
    with reported():
        if group is None:
            asyncio.run(run(load(StateSettings), every=every, once=once, as_lines=as_lines))
        else:
            asyncio.run(top_of_group(load(LagSettings), group, topic, every=every, once=once, as_lines=as_lines))
