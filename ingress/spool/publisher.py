"""Publishes to Kafka, and falls back to the local disk for what Kafka does not acknowledge soon.

Records of one key leave in the order in which they came: one at a time is under way, and one whose key may have earlier
records in the spool goes behind them.
"""

import asyncio
import time
from collections import deque

from ingress.metrics import SpoolMetrics
from ingress.ports import OutgoingRecord
from ingress.spool.drain import Broker, Drain
from ingress.spool.spool import Spool
from runtime.deadlines import Deadlines
from runtime.errors import PublishError, RecordRefusedError, SpoolUnavailableError
from runtime.logs import logger

# For the disk, not for Kafka: an fsync takes milliseconds.
SPOOL_SECONDS = 8.0
SAY_SECONDS = 10.0  # between two log lines that say the same: a slow broker may come and go

log = logger(__name__)


class FallbackPublisher:
    """Makes records durable in Kafka or the spool, which it drains while `run` runs beside it."""

    def __init__(
        self, broker: Broker, spool: Spool, *, after_seconds: float, max_direct: int, metrics: SpoolMetrics
    ) -> None:
        """`max_direct` records may wait for Kafka at once: so many unanswered mean that it is in trouble."""
        self._broker = broker
        self._spool = spool
        self._after = after_seconds
        self._soon: Deadlines[asyncio.Future[None]] = Deadlines(after_seconds, self._time_out)
        self._max_direct = max_direct
        self._metrics = metrics
        self._drain = Drain(spool, broker, self._drained)
        self._direct = 0
        # Set by a record that was not acknowledged soon, cleared by one from the spool that was.
        self._suspended = False
        self._said_at = -SAY_SECONDS
        self._said = False
        # Keys under way, each with the later records that wait.
        self._waiting_by_key: dict[bytes, deque[asyncio.Future[None]] | None] = {}

    async def run(self) -> None:
        """Drain the spool until cancelled."""
        await self._drain.run()

    @property
    def refusal(self) -> str | None:
        """Why the spool would not take a record now, or None."""
        return self._spool.refusal

    def note(self) -> str | None:
        """Say what is in the spool, or None."""
        if not self._spool.records:
            return None
        return f"{self._spool.records} records wait in the spool, the oldest for {self._spool.oldest_age:.0f} s"

    async def publish(self, record: OutgoingRecord) -> None:
        """Return once Kafka's in-sync replicas or the local disk have the record.

        Raises:
            PublishError: neither took it.
        """
        key = record.key
        if key in self._waiting_by_key:
            await self._wait_for_earlier(key)
        elif key is not None:
            self._waiting_by_key[key] = None
        try:
            if self._may_go_direct(key):
                future = self._broker.publish(record)
                self._direct += 1
                self._soon.watch(future)
                try:
                    await future
                except (PublishError, TimeoutError) as error:
                    # Kafka may still take it: then the raw log has it twice, as after a retry.
                    self._not_acknowledged(error)
                else:
                    return
                finally:
                    self._soon.forget(future)
                    self._direct -= 1
            spooling = self._spool.append(record)
        finally:
            if key is not None:
                self._pass_on(key)  # one that is on its way into the spool is before whoever comes next
        await self._durable(spooling)

    def _may_go_direct(self, key: bytes | None) -> bool:
        spool = self._spool
        return (
            self._broker.connected
            and self._direct < self._max_direct
            and not (spool.records and (self._suspended or (key is not None and spool.busy(key))))
        )

    def _time_out(self, future: asyncio.Future[None]) -> None:
        if not future.done():
            future.set_exception(TimeoutError(f"no acknowledgement in {self._after:g} s"))

    def _not_acknowledged(self, error: Exception) -> None:
        if not isinstance(error, RecordRefusedError):
            self._suspend(str(error))

    async def _durable(self, spooling: asyncio.Future[None]) -> None:
        try:
            async with asyncio.timeout(SPOOL_SECONDS):
                await spooling
        except TimeoutError as error:
            raise SpoolUnavailableError(f"the spool's disk does not answer in {SPOOL_SECONDS:g} s") from error

    def _suspend(self, reason: str) -> None:
        self._suspended = True
        if time.monotonic() - self._said_at > SAY_SECONDS:
            self._said_at = time.monotonic()
            self._said = True
            log.warning("spool.begins", reason=reason)

    def _drained(self, seconds: float) -> None:
        self._metrics.drained.inc()
        if self._suspended and seconds < self._after:
            self._suspended = False
            if self._said:
                self._said = False
                log.info("spool.drains", records=self._spool.records)

    async def _wait_for_earlier(self, key: bytes) -> None:
        """Wait until every earlier record of the key is acknowledged or in the spool."""
        waiting = self._waiting_by_key[key]
        if waiting is None:
            waiting = self._waiting_by_key[key] = deque()
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting.append(woken)
        try:
            await woken
        except asyncio.CancelledError:
            if not woken.cancelled():  # it was ours already
                self._pass_on(key)
            raise

    def _pass_on(self, key: bytes) -> None:
        waiting = self._waiting_by_key[key]
        while waiting:
            woken = waiting.popleft()
            if not woken.done():
                woken.set_result(None)
                return
        del self._waiting_by_key[key]
