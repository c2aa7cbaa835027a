"""Shows on stderr what the demo does now, and how long each step took."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TimeElapsedColumn

from ops.kit.output import stderr
from ops.kit.progress import PlainColumn


class StepDisplay:
    """Prints one line per finished step; on a terminal also a spinner or a bar while it runs."""

    def __init__(self) -> None:
        self._console: Console = stderr()

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Show a step of unknown length."""
        begin = time.monotonic()
        columns = (SpinnerColumn(), PlainColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._console, transient=True, disable=not self._console.is_terminal) as shown:
            shown.add_task(name, total=None)
            yield
        self._done(name, begin)

    @contextmanager
    def bar(self, name: str, total: int) -> Iterator[Callable[[int], None]]:
        """Show a step of known length; yields what to call with each advance."""
        begin = time.monotonic()
        columns = (PlainColumn(), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._console, transient=True, disable=not self._console.is_terminal) as shown:
            task = shown.add_task(name, total=total)
            yield lambda count: shown.advance(task, count)
        self._done(name, begin)

    def _done(self, name: str, begin: float) -> None:
        self._console.print(f"{name}: {time.monotonic() - begin:.1f} s")
