"""Pauses the processors of a group while operators want it, as when they change its offsets.

A pause is a row with an end (table `pause`). NOTIFY wakes the processors at once, and a look every second finds what a
lost notification did not tell. While PostgreSQL is away the last known pause holds, until its end.
"""

import asyncio
import math
import time

import psycopg

from processors.metrics import ProcessorMetrics
from processors.postgres_state import QUERIES
from runtime.failures import problem_of
from runtime.logs import logger
from runtime.postgres import connect

CHANNEL = "ringover_pause"
LOOK_EVERY_SECONDS = 1.0
RETRY_SECONDS = 2.0
ANSWER_SECONDS = 5.0

log = logger(__name__)


class PauseSwitch:
    """Tells whether to run: `running` and `paused` are set in turn; paused until PostgreSQL has been asked once."""

    def __init__(self, database_url: str, group: str, metrics: ProcessorMetrics) -> None:
        self.running = asyncio.Event()
        self.paused = asyncio.Event()
        self.paused.set()
        self._database_url = database_url
        self._group = group
        self._ends = math.inf  # time.monotonic() at which the known pause ends
        self.reason = "not asked yet"
        self._pauses = metrics.pauses
        metrics.paused.set_function(lambda: self.ordered)

    @property
    def ordered(self) -> bool:
        """Whether operators have paused the group, as far as is known."""
        return self.paused.is_set() and self._ends < math.inf

    async def watch(self) -> None:
        """Follow what operators want, for ever. PostgreSQL being away is no error."""
        while True:
            try:
                async with await connect(self._database_url) as connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    while True:
                        await self._look(connection)
                        async for _ in connection.notifies(timeout=LOOK_EVERY_SECONDS, stop_after=1):
                            pass
            except Exception as error:  # noqa: BLE001 - what is known holds, whatever happened
                told = log.debug if isinstance(error, psycopg.Error | TimeoutError) else log.warning
                told("gate.unavailable", reason=problem_of(error))
                self._expire()
                await asyncio.sleep(RETRY_SECONDS)

    async def _look(self, connection: psycopg.AsyncConnection) -> None:
        async with asyncio.timeout(ANSWER_SECONDS):
            if await (await connection.execute(QUERIES["read_only"])).fetchone() == (True,):
                raise psycopg.errors.ReadOnlySqlTransaction("a server that is read-only may not know of a new pause")
            cursor = await connection.execute(QUERIES["pause"], {"group": self._group})
            row = await cursor.fetchone()
        if row is None:
            self._open()
        else:
            seconds, reason = row
            if not self.ordered:
                self._pauses.inc()
            self._ends = time.monotonic() + seconds
            self._close(reason)

    def _expire(self) -> None:
        if self.paused.is_set() and time.monotonic() > self._ends:
            self._open()

    def _open(self) -> None:
        if not self.running.is_set():
            log.info("gate.opened")
            self.paused.clear()
            self.running.set()

    def _close(self, reason: str) -> None:
        self.reason = reason
        if not self.paused.is_set():
            log.warning("gate.closed", reason=reason)
            self.running.clear()
            self.paused.set()
