"""Watching files for new content."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from runtime.watch import watch_files
from tests.support.waiting import until

POLL = 0.01


@asynccontextmanager
async def watching(*paths: Path) -> AsyncIterator[list[list[str | None]]]:
    """Yields what the files held at each call."""
    calls: list[list[str | None]] = []

    def changed() -> None:
        calls.append([path.read_text() if path.exists() else None for path in paths])

    task = asyncio.create_task(watch_files(paths, changed, poll_seconds=POLL))
    await asyncio.sleep(0)  # the first look
    try:
        yield calls
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _called(calls: list[list[str | None]], count: int) -> None:
    async def ask() -> bool:
        return len(calls) >= count

    await until(ask, what=f"{count} calls")


async def test_new_content_is_told_once(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    async with watching(file) as calls:
        file.write_text("new")
        await _called(calls, 1)
        file.write_text("newer")
        await _called(calls, 2)

    assert calls == [["new"], ["newer"]]


async def test_a_swapped_link_is_seen_as_kubernetes_swaps_them(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "secrets").write_text(name)
    data = tmp_path / "data"
    data.symlink_to(tmp_path / "one")
    async with watching(data / "secrets") as calls:
        (tmp_path / "next").symlink_to(tmp_path / "two")
        (tmp_path / "next").rename(data)
        await _called(calls, 1)

    assert calls == [["two"]]


async def test_a_touched_file_is_not_a_changed_one(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("same")
    async with watching(file) as calls:
        file.touch()
        file.write_text("same")
        file.write_text("other")
        await _called(calls, 1)

    assert calls == [["other"]]


async def test_a_removed_file_is_told(tmp_path: Path) -> None:
    kept, removed = tmp_path / "kept", tmp_path / "removed"
    kept.write_text("kept")
    removed.write_text("there")
    async with watching(kept, removed) as calls:
        removed.unlink()
        await _called(calls, 1)
        removed.write_text("back")
        await _called(calls, 2)

    assert calls == [["kept", None], ["kept", "back"]]


async def test_nothing_to_watch_ends_at_once() -> None:
    await asyncio.wait_for(watch_files([], lambda: None), 1)
