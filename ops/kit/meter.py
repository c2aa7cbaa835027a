"""Progress of long work on stderr: a bar with rate and time left on a terminal, else a JSON line every few seconds."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

import orjson
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from ops.kit.bars import PlainColumn
from ops.kit.output import stderr

EVERY_SECONDS = 3.0

Advance: TypeAlias = Callable[[int], None]


@contextmanager
def metered(what: str, total: int, *, unit: str) -> Iterator[Advance]:
    """Yields what to call with each advance; ends with one line (or JSON object) that says how long all took."""
    began = time.monotonic()
    done = 0
    with _shown(what, total, unit=unit) as show:

        def advance(count: int) -> None:
            nonlocal done
            done += count
            show(done, time.monotonic() - began)

        yield advance
    _finish(what, done, total, unit, time.monotonic() - began)


@contextmanager
def _shown(what: str, total: int, *, unit: str) -> Iterator[Callable[[int, float], None]]:
    console = stderr()
    if not console.is_terminal:
        told = 0.0

        def tell(done: int, seconds: float) -> None:
            nonlocal told
            if seconds - told >= EVERY_SECONDS:
                told = seconds
                _line(what, done, total, unit, seconds)

        yield tell
        return
    columns = (PlainColumn(), BarColumn(), MofNCompleteColumn(), PlainColumn("{task.fields[rate]}"))
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:
        task = progress.add_task(what, total=total, rate="")

        def draw(done: int, seconds: float) -> None:
            progress.update(task, completed=done, rate=f"{done / max(seconds, 0.001):,.0f} {unit}/s")

        yield draw


def _finish(what: str, done: int, total: int, unit: str, seconds: float) -> None:
    if stderr().is_terminal:
        rate = done / max(seconds, 0.001)
        stderr().print(f"{what}: {done:,} {unit} in {seconds:.1f} s ({rate:,.0f} {unit}/s)")
    else:
        _line(what, done, total, unit, seconds)


def _line(what: str, done: int, total: int, unit: str, seconds: float) -> None:
    rate = round(done / max(seconds, 0.001))
    line = {"doing": what, "done": done, "total": total, "unit": unit, "seconds": round(seconds, 1), "per_second": rate}
    sys.stderr.write(orjson.dumps(line).decode() + "\n")
    sys.stderr.flush()


class Throttle:
    """Spaces work out to at most `rate` units a second; None: as fast as it goes."""

    def __init__(self, rate: int | None) -> None:
        self._rate = rate
        self._free_at = 0.0

    def wait_seconds(self, count: int, now: float) -> float:
        """How long to wait after `count` units that ended `now` (monotonic seconds)."""
        if self._rate is None:
            return 0.0
        self._free_at = max(self._free_at, now) + count / self._rate
        return self._free_at - now
