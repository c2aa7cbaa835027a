"""Download progress on stderr: a bar on a terminal, one line per artifact elsewhere."""

import contextlib
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn


def plain_console() -> Console:
    """Stderr, to which paths and errors are text and never markup."""
    return Console(stderr=True, markup=False, emoji=False, highlight=False, soft_wrap=True)


class DownloadProgress:
    """Shows which artifacts are being fetched; `download` is jgo's progress callback."""

    def __init__(self, *, total: int, before_chunk: Callable[[], None]) -> None:
        self._before_chunk = before_chunk
        self._total = total
        self._done = 0
        self._console = plain_console()
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn())
        self._progress = Progress(*columns, console=self._console, transient=True)
        self._overall = self._progress.add_task(self._summary(), total=None, start=False)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._progress.start()
        else:
            self._console.print(f"Fetching {self._total} jars of Kafka from Maven Central")
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._progress.stop()
        self._console.print(f"Fetched {self._done} of {self._total} jars")

    @contextlib.contextmanager
    def download(self, filename: str, size: int) -> Iterator[Callable[[int], None]]:
        """Shows one file while it is being fetched. Called from several threads."""
        task = self._progress.add_task(filename, total=size)
        if not self._console.is_terminal:
            self._console.print(f"  {filename} ({size / 1e6:.1f} MB)")

        def advance(count: int) -> None:
            self._before_chunk()
            self._progress.advance(task, count)

        try:
            yield advance
        finally:
            self._progress.remove_task(task)

    def finished_one(self) -> None:
        """Counts a file as fetched and verified."""
        self._done += 1
        self._progress.update(self._overall, description=self._summary())

    def _summary(self) -> str:
        return f"Kafka's jars from Maven Central: {self._done} of {self._total}"
