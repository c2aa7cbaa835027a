"""Sends what is spooled to Kafka: oldest first, each key's records one after another, keys side by side.

A key whose record fails is left alone for a while, so one that Kafka refuses for good holds up its own key only.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, TypeAlias

from ingress.ports import OutgoingRecord
from ingress.spool.model import Row
from ingress.spool.spool import Spool
from runtime.errors import PublishError, RecordRefusedError, SpoolUnavailableError
from runtime.failures import problem_of
from runtime.logs import logger

# Records under way at once: few at first, since all of them are repeated when Kafka is not back after all.
FIRST_WINDOW = 64
MAX_WINDOW = 2048
WINDOW_BYTES = 8 * 1024 * 1024  # of one read
FIRST_BACKOFF_SECONDS = 0.1
MAX_BACKOFF_SECONDS = 5.0
MAX_PARKED_KEYS = 10_000  # beyond it reading on is of no use
MAX_STUCK_REPORTS = 1000

#: The topic and key whose records keep their order; a record without key is a chain of its own, by its id.
Chain: TypeAlias = tuple[str, bytes | int]

log = logger(__name__)


class Broker(Protocol):
    """Publishes, and knows whether it can now."""

    def publish(self, record: OutgoingRecord) -> asyncio.Future[None]:
        """Publish as `Publisher` does; the future is the caller's, who may fail it when it waits no longer."""

    @property
    def connected(self) -> bool:
        """Whether publishing can succeed now; if not, it fails at once."""

    async def reconnected(self) -> None:
        """Return once `connected` is true."""


class Drain:
    """Drains while `run` runs. `acknowledged` is called with the seconds that each acknowledgement took."""

    def __init__(self, spool: Spool, broker: Broker, acknowledged: Callable[[float], None]) -> None:
        self._spool = spool
        self._broker = broker
        self._acknowledged = acknowledged
        self._changed = asyncio.Event()
        self._cursor = 0  # the id up to which rows were read
        self._loaded: set[int] = set()  # ids under way, or acknowledged and not yet deleted
        self._done: list[Row] = []
        self._chains: dict[Chain, deque[Row]] = {}
        self._parked: set[Chain] = set()
        self._stuck: set[int] = set()  # ids that were reported
        self._retry_at = 0.0
        self._backoff = FIRST_BACKOFF_SECONDS
        self._window = FIRST_WINDOW
        spool.listen(self._changed.set)

    async def run(self) -> None:
        """Drain until cancelled; what was acknowledged by then is deleted."""
        try:
            async with asyncio.TaskGroup() as chains:
                while True:
                    self._changed.clear()
                    deleted = await self._delete_done()
                    if not await self._load(chains) and not deleted:
                        await self._pause()
        finally:
            if self._done:
                self._spool.delete(self._done)

    async def _delete_done(self) -> bool:
        if not self._done:
            return False
        done, self._done = self._done, []
        try:
            await self._spool.delete(done)
        except (SpoolUnavailableError, asyncio.CancelledError) as error:
            self._done = done + self._done  # not sent again, since they stay loaded
            if isinstance(error, asyncio.CancelledError):
                raise
            return False
        self._loaded.difference_update(row.id for row in done)
        return True

    async def _load(self, chains: asyncio.TaskGroup) -> bool:
        """Start what there is room for; whether there was anything to read."""
        if not self._broker.connected:
            return False
        self._retry_if_due()
        room = self._window - len(self._loaded)
        if room <= 0 or not self._spool.records or len(self._parked) >= MAX_PARKED_KEYS:
            return False
        try:
            rows = await self._spool.read(after=self._cursor, max_rows=room, max_bytes=WINDOW_BYTES)
        except SpoolUnavailableError:
            return False  # the spool says so itself
        for row in rows:
            self._cursor = row.id
            self._start(row, chains)
        return bool(rows)

    def _start(self, row: Row, chains: asyncio.TaskGroup) -> None:
        chain: Chain = (row.record.topic, row.id if row.record.key is None else row.record.key)
        if row.id in self._loaded or chain in self._parked:
            return
        self._loaded.add(row.id)
        rows = self._chains.get(chain)
        if rows is None:
            rows = self._chains[chain] = deque()
            chains.create_task(self._send(chain, rows))
        rows.append(row)

    async def _send(self, chain: Chain, rows: deque[Row]) -> None:
        """Send one key's records, up to the first that fails."""
        clock = asyncio.get_running_loop().time
        while rows:
            began = clock()
            try:
                await self._broker.publish(rows[0].record)
            except Exception as error:  # noqa: BLE001 - it is this key's, and the others are sent
                self._park(chain, rows, error)
                break
            self._done.append(rows.popleft())
            self._window = min(MAX_WINDOW, self._window + 1)
            self._acknowledged(clock() - began)
            self._changed.set()
        del self._chains[chain]

    def _park(self, chain: Chain, rows: deque[Row], error: Exception) -> None:
        """Leave a key alone until the next attempt."""
        self._loaded.difference_update(row.id for row in rows)
        if not self._parked:
            self._retry_at = asyncio.get_running_loop().time() + self._backoff
        self._parked.add(chain)
        self._changed.set()
        row = rows[0]
        new = row.id not in self._stuck and len(self._stuck) < MAX_STUCK_REPORTS
        passing = isinstance(error, PublishError) and not isinstance(error, RecordRefusedError)
        if new and not passing:
            self._stuck.add(row.id)
            log.error("spool.record_stuck", id=row.id, topic=row.record.topic, reason=problem_of(error))

    def _retry_if_due(self) -> None:
        """Begin at the oldest record again, when something was left behind and its time has come."""
        if self._parked and asyncio.get_running_loop().time() >= self._retry_at:
            self._parked.clear()
            self._cursor = 0
            self._backoff = min(MAX_BACKOFF_SECONDS, 2 * self._backoff)
        elif not self._parked and not self._spool.records:
            self._backoff = FIRST_BACKOFF_SECONDS

    async def _pause(self) -> None:
        """Wait until there may be something to do."""
        if not self._broker.connected:
            await self._absent()
            return
        clock = asyncio.get_running_loop().time
        seconds = max(0.0, self._retry_at - clock()) if self._parked else MAX_BACKOFF_SECONDS
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    async def _absent(self) -> None:
        """Wait for Kafka; then everything is tried again at once, carefully at first."""
        await self._broker.reconnected()
        self._window = FIRST_WINDOW
        self._backoff = FIRST_BACKOFF_SECONDS
        self._retry_at = 0.0
