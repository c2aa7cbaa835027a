"""Progress of a long reading on stderr: a bar on a terminal, a line every few seconds elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

from ops.kit.bars import PlainColumn
from ops.kit.output import say, stderr

LINE_SECONDS = 5.0

OnProgress: TypeAlias = Callable[[int, int], None]  # records done, records in all as far as known


@contextmanager
def shown_progress(what: str) -> Iterator[OnProgress]:
    """What to call with each step of `what`."""
    console = stderr()
    columns = (
        PlainColumn(),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        if console.is_terminal:
            yield lambda done, total: bar.update(task, completed=done, total=total)
        else:
            yield _lines(what)


def _lines(what: str) -> OnProgress:
    began = said = time.monotonic()

    def line(done: int, total: int) -> None:
        nonlocal said
        now = time.monotonic()
        if now - said >= LINE_SECONDS:
            said = now
            say(f"{what}: {done} of {total} records, {done / (now - began):.0f}/s")

    return line
