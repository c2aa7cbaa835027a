"""`ringover-ops top`: shows the whole pipeline, or one group's lag, live."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

import typer

from ops.kit.errors import EXIT_CODES
from ops.kit.live import pictures, stopped
from ops.kit.options import OutputOption, reported
from ops.kit.output import OutputFormat, say, write_line
from ops.kit.settings import OffsetSettings, StateSettings
from ops.top.run import lags, snapshots
from ops.top.show import render
from ops.top.snapshot import PacedLag, Snapshot
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
    if topic is not None and group is None:
        raise typer.BadParameter("--topic goes with --group")
    with reported():
        asyncio.run(_show(every, group, topic, once=once, as_lines=output is OutputFormat.JSON))


async def _show(every: float, group: str | None, topic: str | None, *, once: bool, as_lines: bool) -> None:
    stop = stopped()
    looks: AsyncGenerator[Snapshot, None] | AsyncGenerator[PacedLag, None]
    if group is None:
        looks = snapshots(load(StateSettings), stop, every=every, once=once)
    else:
        looks = lags(load(OffsetSettings), group, topic, stop, say, every=every, once=once)
    with pictures(wanted=not as_lines and not once) as draw:
        async with aclosing(looks):
            async for look in looks:
                if as_lines:
                    write_line(look)
                else:
                    draw(render(look))
