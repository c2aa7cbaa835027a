"""Shows on stderr how far long work is: a bar on a terminal, elsewhere a line every few seconds.

Its words may come from outside (a call's id, a phone number): they are text here as anywhere, never markup.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from time import monotonic
from typing import Protocol, TypeAlias

from rich.progress import BarColumn, Progress, ProgressColumn, Task
from rich.text import Text

from ops.kit.output import plain, say, stderr
from ops.kit.times import duration

LINE_SECONDS = 5.0
BAR_SECONDS = 0.1  # between redrawings: work that advances record by record must not wait for its bar


class Advance(Protocol):
    """Hears how many more are done, and how many there are in all where that is known only on the way."""

    def __call__(self, count: int, /, *, total: int | None = None) -> None:
        """Count them."""
        ...


# Makes the display of one piece of work; see `shown_progress`. Functions that work take it, so that they print nothing.
ShowProgress: TypeAlias = Callable[..., AbstractContextManager[Advance]]


def unseen(_count: int, /, *, total: int | None = None) -> None:
    """Shows nothing: an `Advance` for callers without an operator."""


class PlainColumn(ProgressColumn):
    """Shows a template such as `{task.description}`; rich's own column would take it for markup."""

    def __init__(self, template: str = "{task.description}") -> None:
        super().__init__()
        self._template = template

    def render(self, task: Task) -> Text:
        return plain(self._template.format(task=task))


class Meter:
    """Counts what is done, and reckons how fast that goes and how long the rest takes."""

    def __init__(self, total: int | None, unit: str) -> None:
        self.done, self.total = 0, total
        self.began = monotonic()
        self._unit = unit

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return monotonic() - self.began

    @property
    def now(self) -> str:
        """How far it is: `50 of 200 records, 10/s, 15 s left`."""
        left = (self.total - self.done) / self._rate if self.total is not None and self._rate > 0 else None
        return f"{self._amount}, {self._rate:,.0f}/s" + ("" if left is None else f", {duration(max(0.0, left))} left")

    @property
    def end(self) -> str:
        """How it went: `200 of 200 records in 20 s, 10/s`."""
        return f"{self._amount} in {duration(self.seconds)}, {self._rate:,.0f}/s"

    @property
    def _amount(self) -> str:
        return f"{self.done:,}" + ("" if self.total is None else f" of {self.total:,}") + f" {self._unit}"

    @property
    def _rate(self) -> float:
        return self.done / max(self.seconds, 0.001)


@contextmanager
def shown_progress(doing: str, total: int | None = None, *, unit: str = "records") -> Iterator[Advance]:
    """Yields what to call with each advance; work that took long enough for a line ends with one."""
    console, meter = stderr(), Meter(total, unit)
    every = BAR_SECONDS if console.is_terminal else LINE_SECONDS
    due = meter.began + every
    columns = (PlainColumn(), BarColumn(), PlainColumn("{task.fields[now]}"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(doing, total=total, now="")

        def advance(count: int, /, *, total: int | None = None) -> None:
            nonlocal due
            meter.done += count
            meter.total = meter.total if total is None else total
            if monotonic() < due:
                return
            due = monotonic() + every
            if console.is_terminal:
                bar.update(task, completed=meter.done, total=meter.total, now=meter.now)
            else:
                say(f"{doing}: {meter.now}")

        yield advance
    if meter.seconds >= LINE_SECONDS:
        say(f"{doing}: {meter.end}")
