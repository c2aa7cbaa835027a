"""Progress of long work on stderr: a live line on a terminal, a plain one every few seconds elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TimeElapsedColumn

from ops.dead_letters.replay import Seen
from ops.kit.bars import PlainColumn
from ops.kit.output import say, stderr

LINE_SECONDS = 5.0


@contextmanager
def counted(doing: str, total: int | None = None) -> Iterator[Seen]:
    """Yields what to call with each number of things done."""
    if sys.stderr.isatty():
        columns = (SpinnerColumn(), PlainColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=stderr(), transient=True) as bar:
            task = bar.add_task(doing, total=total)
            yield lambda count: bar.advance(task, count)
    else:
        yield _lines(doing, total)


def _lines(doing: str, total: int | None) -> Seen:
    done, spoken = 0, time.monotonic()

    def seen(count: int) -> None:
        nonlocal done, spoken
        done += count
        if time.monotonic() - spoken > LINE_SECONDS:
            spoken = time.monotonic()
            say(f"{doing}: {done}" if total is None else f"{doing}: {done} of {total}")

    return seen
