"""Gives the event loop its view of the spool: what is in it, whether more fits, and how to write, read and delete."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from ingress.metrics import SpoolMetrics
from ingress.ports import OutgoingRecord
from ingress.spool.files import FILE_NAME, DamagedError, locked, quarantine
from ingress.spool.model import Append, Delete, Read, Row, SpoolLimits, bucket_of, size_of
from ingress.spool.store import RESERVE_NAME, Contents, Store
from ingress.spool.writer import Damage, GroupResult, Writer
from runtime.errors import RefusedError, SpoolFullError, SpoolUnavailableError
from runtime.logs import logger

REPORT_SECONDS = 60.0

log = logger(__name__)


class Spool:
    """Is an open spool; `open_spool` makes one."""

    def __init__(self, store: Store, contents: Contents, limits: SpoolLimits, metrics: SpoolMetrics) -> None:
        self._loop = asyncio.get_running_loop()
        self._contents = contents
        self._limits = limits
        self._metrics = metrics
        self._problem: str | None = None
        self._reported_at = -REPORT_SECONDS
        self._unsettled: set[Append] = set()
        self._listeners: list[Callable[[], None]] = []
        self.writer = Writer(store, self._settle)
        metrics.records.set_function(lambda: self.records)
        metrics.bytes.set_function(lambda: self.size)
        metrics.oldest_age.set_function(lambda: self.oldest_age)
        metrics.max_bytes.set(limits.max_bytes)
        metrics.usable.set_function(lambda: self.refusal is None)

    @property
    def records(self) -> int:
        """Records in the spool, those that are being written included."""
        return self._contents.records

    @property
    def size(self) -> int:
        """Bytes of their keys, values and headers."""
        return self._contents.bytes

    @property
    def oldest_age(self) -> float:
        """Seconds that the oldest record has waited; 0 when there is none."""
        oldest_at = self._contents.oldest_at
        return 0.0 if oldest_at is None else max(0.0, time.time() - oldest_at / 1000)

    @property
    def refusal(self) -> str | None:
        """Why a small record would not be taken now, or None."""
        return self._problem or self._full(1)

    def busy(self, key: bytes) -> bool:
        """Whether an earlier record of this key may be in the spool: a later one must go behind it."""
        return self._contents.buckets[bucket_of(key)] > 0

    def listen(self, changed: Callable[[], None]) -> None:
        """Have `changed` called when there is more to read."""
        self._listeners.append(changed)

    def append(self, record: OutgoingRecord) -> asyncio.Future[None]:
        """Put a record behind all others; it is durable when the future is done.

        The record counts at once, so that later ones of its key line up. The future fails with SpoolUnavailableError.

        Raises:
            SpoolFullError: there is no room.
        """
        size = size_of(record)
        full = self._full(size)
        if full is not None:
            raise SpoolFullError(full)
        answer: asyncio.Future[None] = self._loop.create_future()
        append = Append(record, time.time_ns() // 1_000_000, size, answer)
        self._unsettled.add(append)
        self._count(record, size, 1)
        self.writer.put(append)
        return answer

    async def read(self, *, after: int, max_rows: int, max_bytes: int) -> list[Row]:
        """Read the oldest rows with an id above `after`.

        Raises:
            SpoolUnavailableError: the disk does not give them.
        """
        answer: asyncio.Future[list[Row]] = self._loop.create_future()
        self.writer.put(Read(after, max_rows, max_bytes, answer))
        return await answer

    def delete(self, rows: Sequence[Row]) -> asyncio.Future[set[int]]:
        """Remove rows that Kafka has.

        The future fails with SpoolUnavailableError: then they are still there.
        """
        answer: asyncio.Future[set[int]] = self._loop.create_future()
        self.writer.put(Delete(rows, answer))
        return answer

    def _full(self, size: int) -> str | None:
        if self._contents.bytes + size > self._limits.max_bytes:
            return f"the spool is full: it holds {self._contents.bytes} of {self._limits.max_bytes} bytes"
        if self.oldest_age > self._limits.max_age_seconds:
            return f"the spool's oldest record has waited for {self.oldest_age:.0f} s"
        return None

    def _count(self, record: OutgoingRecord, size: int, step: int) -> None:
        contents = self._contents
        contents.records += step
        contents.bytes += step * size
        if record.key is not None:
            contents.buckets[bucket_of(record.key)] += step

    def _settle(self, settled: GroupResult) -> None:
        if settled.damage is not None:
            self._forget(settled.damage)
        spooled = 0
        for request, result in settled.results:
            match request, result:
                case Append(), Exception():
                    self._unsettled.discard(request)
                    self._count(request.record, request.size, -1)
                case Append(), _:
                    self._unsettled.discard(request)
                    spooled += 1
                case Delete(rows=rows), set():
                    for row in rows:
                        if row.id in result:  # rows of a quarantined file are not in the new one
                            self._count(row.record, size_of(row.record), -1)
                case _:
                    pass
            _answer(request.answer, result)
        self._contents.oldest_at = settled.oldest_at
        self._report(settled.problem)
        if spooled:
            self._metrics.spooled.inc(spooled)
            for changed in self._listeners:
                changed()

    def _forget(self, damage: Damage) -> None:
        """Count anew: the file is another one now, and holds only what is being written."""
        report_quarantine(damage, self._metrics)
        self._contents = Contents()
        for append in self._unsettled:
            self._count(append.record, append.size, 1)

    def _report(self, problem: str | None) -> None:
        """Log that the disk fails, once a minute at most: a full one still takes a small record now and then."""
        if problem is not None and self._problem is None and time.monotonic() - self._reported_at > REPORT_SECONDS:
            self._reported_at = time.monotonic()
            log.error("spool.unavailable", reason=problem)
        elif problem is None and self._problem is not None:
            log.info("spool.available")
        self._problem = problem


def report_quarantine(damage: Damage, metrics: SpoolMetrics) -> None:
    """Say loudly that an operator must look at a file."""
    metrics.quarantined.inc()
    log.error("spool.set_aside", file=str(damage.path), reason=damage.reason)


@asynccontextmanager
async def open_spool(directory: Path, limits: SpoolLimits, metrics: SpoolMetrics) -> AsyncIterator[Spool]:
    """Open the spool in a directory, for this process alone. A damaged file is quarantined and a new one begun.

    Raises:
        RefusedError: another process has the directory, or it cannot be written.
    """
    with locked(directory):
        store, contents = await asyncio.to_thread(_open, directory, metrics)
        spool = Spool(store, contents, limits, metrics)
        if contents.records:
            log.warning("spool.found", records=contents.records, bytes=contents.bytes, oldest_age=spool.oldest_age)
        spool.writer.start()
        try:
            yield spool
        finally:
            await spool.writer.stop()
            if spool.records:
                log.warning("spool.left", records=spool.records, bytes=spool.size, directory=str(directory))


def _open(directory: Path, metrics: SpoolMetrics) -> tuple[Store, Contents]:
    path = directory / FILE_NAME
    try:
        try:
            store = Store(path)
        except DamagedError as error:
            report_quarantine(Damage(quarantine(path), str(error)), metrics)
            store = Store(path)
        except SpoolUnavailableError:  # a full disk may have no room even for opening
            path.with_name(RESERVE_NAME).unlink(missing_ok=True)
            store = Store(path)
        return store, store.contents()
    except (DamagedError, SpoolUnavailableError, OSError) as error:
        raise RefusedError(f"no spool can be kept in {directory}: {error}") from error


def _answer(answer: "asyncio.Future[Any]", result: object) -> None:
    if answer.done():  # who asked has gone
        return
    if isinstance(result, Exception):
        answer.set_exception(result)
    else:
        answer.set_result(result)
