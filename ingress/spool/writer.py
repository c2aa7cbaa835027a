"""Works on the spool's file in one thread: takes what waits, makes it one transaction, answers all at once."""

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from ingress.spool.files import DamagedError, quarantine
from ingress.spool.model import Append, Request, Result
from ingress.spool.store import DISK_FULL, Store
from runtime.errors import RefusedError, SpoolUnavailableError
from runtime.failures import report

# Bounds of one transaction. 2,000 rows take about 20 ms to write.
GROUP_REQUESTS = 2000
GROUP_BYTES = 4 * 1024 * 1024
REOPEN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Damage:
    """Names a file that was quarantined, and why."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class GroupResult:
    """Tells what became of one group; `damage` happened before that, `problem` is why appends fail, or None."""

    results: Sequence[tuple[Request, Result | Exception]]
    oldest_at: int | None
    damage: Damage | None
    problem: str | None


#: Called on the event loop.
Settle: TypeAlias = Callable[[GroupResult], None]


class Writer:
    """Owns the store from `start` to `stop`."""

    def __init__(self, store: Store, settle: Settle) -> None:
        self._path = store.path
        self._last_id = store.last_id
        self._store: Store | None = store
        self._settle = settle
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._left_over: Request | None = None
        self._reopen_at = 0.0
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def put(self, request: Request) -> None:
        """Ask for something; it is done in the order in which it was asked for."""
        self._queue.put(request)

    async def stop(self) -> None:
        """Finish what was asked for, and close the file."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        going_on = True
        while going_on:
            group, going_on = self._take()
            if group or self._recovered():
                settled = self._safely(group)
                self._loop.call_soon_threadsafe(self._settle, settled)
                if self._store is not None and settled.oldest_at is None:
                    self._store.shrink()
        if self._store is not None:
            self._store.close()

    def _take(self) -> tuple[list[Request], bool]:
        """Wait for a request, and take with it what else is there; False at the end."""
        group: list[Request] = []
        size = 0
        healthy = self._store is not None and self._store.reserved
        try:
            request = self._queue.get(timeout=None if healthy else REOPEN_SECONDS)
        except queue.Empty:
            return group, True
        while request is not None:
            group.append(request)
            size += request.size if isinstance(request, Append) else 0
            if len(group) >= GROUP_REQUESTS or size >= GROUP_BYTES:
                return group, True
            try:
                request = self._queue.get_nowait()
            except queue.Empty:
                return group, True
        return group, False

    def _recovered(self) -> bool:
        """Whether a full disk has room again: asked while nobody asks for anything, since nobody may."""
        return self._store is not None and not self._store.reserved and self._store.reserve()

    def _safely(self, group: Sequence[Request]) -> GroupResult:
        """Carry out, but let a fault of ours fail one group only; the file is opened anew for the next."""
        try:
            return self._carry_out(group)
        except Exception as error:  # noqa: BLE001 - one group's
            report("spool.failed", error)
            if self._store is not None:
                self._store.close()
                self._store = None
            failed = SpoolUnavailableError(f"the spool's writer failed: {type(error).__name__}")
            return GroupResult([(request, failed) for request in group], None, None, str(failed))

    def _carry_out(self, group: Sequence[Request]) -> GroupResult:
        damage = None
        try:
            try:
                results = self._opened().apply(group)
            except DamagedError as error:
                damage = self._replace(str(error))
                results = self._opened().apply(group)
            problem = None if self._opened().reserved else DISK_FULL
            return GroupResult(list(zip(group, results, strict=True)), self._oldest_at(), damage, problem)
        except (DamagedError, SpoolUnavailableError) as error:
            return self._without_appends(group, damage, SpoolUnavailableError(str(error)))

    def _without_appends(
        self, group: Sequence[Request], damage: Damage | None, error: SpoolUnavailableError
    ) -> GroupResult:
        """Fail appends and try the rest: a full disk may still give room back."""
        appends = [request for request in group if isinstance(request, Append)]
        others = [request for request in group if not isinstance(request, Append)]
        settled: list[tuple[Request, Result | Exception]] = [(append, error) for append in appends]
        try:
            results: Sequence[Result | Exception] = self._insist(others)
        except (DamagedError, SpoolUnavailableError) as other:
            results = [SpoolUnavailableError(str(other))] * len(others)
        settled += zip(others, results, strict=True)
        return GroupResult(settled, self._oldest_at(), damage, str(error))

    def _insist(self, others: Sequence[Request]) -> Sequence[Result]:
        try:
            return self._opened().apply(others)
        except SpoolUnavailableError:
            self._opened().release()
            return self._opened().apply(others)

    def _oldest_at(self) -> int | None:
        try:
            return self._store.oldest_at() if self._store is not None else None
        except (DamagedError, SpoolUnavailableError):
            return None  # the next transaction finds out what is wrong

    def _replace(self, reason: str) -> Damage:
        """Quarantine the file and begin another.

        Raises:
            SpoolUnavailableError: the disk does not let us; tried again later.
        """
        damaged, self._store = self._store, None
        try:
            path = quarantine(self._path)
        except OSError as error:
            raise SpoolUnavailableError(f"the spool cannot be set aside ({reason}): {error.strerror}") from error
        finally:
            if damaged is not None:
                self._last_id = max(self._last_id, damaged.last_id)
                damaged.close()  # before another is opened: closing removes the write-ahead log by its name
        return Damage(path, reason)

    def _opened(self) -> Store:
        """The store; a lost one is opened again, now and then.

        Raises:
            DamagedError, SpoolUnavailableError: it cannot be.
        """
        if self._store is None:
            if time.monotonic() < self._reopen_at:
                raise SpoolUnavailableError("the spool's file cannot be opened")
            self._reopen_at = time.monotonic() + REOPEN_SECONDS
            try:
                self._store = Store(self._path, last_id=self._last_id)
            except RefusedError as error:
                raise SpoolUnavailableError(str(error)) from error
        return self._store
