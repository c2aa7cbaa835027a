"""Watches small files for new content: secrets and certificates, as container platforms change them under a process."""

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

POLL_SECONDS = 1.0


async def watch_files(
    paths: Iterable[Path], changed: Callable[[], None], *, poll_seconds: float = POLL_SECONDS
) -> None:
    """Call `changed` for ever whenever the files have another content and kept it for one poll.

    Reads the content, not the time of the last change: platforms swap symbolic links, and clocks step. One poll of
    rest, because a file that is written in place is seen half written. A file that cannot be read counts as changed
    content, too; what to make of it is the caller's decision.
    """
    watched = list(paths)
    known = seen = _contents(watched)
    while watched:
        await asyncio.sleep(poll_seconds)
        found = _contents(watched)
        if found == seen and found != known:
            known = found
            changed()
        seen = found


def _contents(paths: Iterable[Path]) -> list[bytes | None]:
    return [_content(path) for path in paths]


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
