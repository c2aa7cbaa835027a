"""Shows on stderr how many files have been fetched: a bar on a terminal, one line at each end elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress


def plain_console() -> Console:
    """Stderr, to which paths and errors are text and never markup."""
    return Console(stderr=True, markup=False, emoji=False, highlight=False, soft_wrap=True)


@contextmanager
def counted(doing: str, total: int) -> Iterator[Callable[[], None]]:
    """Yields what to call when one more is done; `doing` is text of ours, without markup."""
    console = plain_console()
    if not console.is_terminal:
        console.print(f"{doing}: {total}")
    done = 0
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(doing, total=total)

        def one_more() -> None:
            nonlocal done
            done += 1
            bar.advance(task)

        try:
            yield one_more
        finally:
            console.print(f"{doing}: {done} of {total} done")
