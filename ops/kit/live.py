"""Repeats a look until Ctrl-C, and shows each: on a terminal in the place of the last, otherwise below it."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from rich.console import RenderableType
from rich.live import Live

from ops.kit.output import stdout

Draw: TypeAlias = Callable[[RenderableType], None]


def stopped() -> asyncio.Event:
    """An event that SIGINT and SIGTERM set, so that they end a look in order and the command with 0."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return stop


async def ticks(stop: asyncio.Event, every: float, *, times: int | None = None) -> AsyncIterator[float]:
    """The event loop's time, now and then every so many seconds, until `stop` is set or so many times."""
    loop = asyncio.get_running_loop()
    count = 0
    while not stop.is_set():
        began = loop.time()
        yield began
        count += 1
        if count == times:
            return
        try:
            async with asyncio.timeout_at(began + every):
                await stop.wait()
        except TimeoutError:
            continue


@contextmanager
def pictures(*, wanted: bool) -> Iterator[Draw]:
    """What to call with each picture; unless they are wanted, the terminal is left alone."""
    console = stdout()
    if not wanted or not console.is_terminal:
        yield console.print
        return
    with Live(console=console, auto_refresh=False, screen=True) as live:
        yield lambda picture: live.update(picture, refresh=True)
