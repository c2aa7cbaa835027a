"""The open-loop generator: webhooks come by the clock, whatever the ingress does; each sender retries a few times.

A process of its own (`python -m tests.chaos.load`): it must not slow the proxies down, nor they it. Every second it
says how many webhooks were acknowledged and how many attempts were not; SIGTERM ends it, and it writes its journal.
"""

import asyncio
import random
import signal
import sys
from collections.abc import Iterable
from contextlib import suppress
from itertools import count
from pathlib import Path
from time import monotonic

import aiohttp

from tests.chaos.calls import Call, Send, calls
from tests.chaos.journal import Answer, Attempt, Delivery, Journal
from tests.support.signing import signature

RETRY_AFTER_SECONDS = (1.0, 4.0)
REQUEST_SECONDS = 12.0  # above the ingress's own deadline for a publish
# What cannot be sent in time is left out: a generator that is behind must not send a flood when it catches up.
MAX_IN_FLIGHT = 1500
LATE_SECONDS = 2.0
SAY_SECONDS = 1.0

_STATUS_OF_AUTHENTICATION = 401


class Load:
    """Runs until `stop`; the journal may be read meanwhile."""

    def __init__(self, url: str, calls: Iterable[Call], *, seed: int, began: float) -> None:
        """`began` is the zero of the run's clock, in seconds of the machine's monotonic one."""
        self.journal = Journal()
        self._began = began
        self._in_flight = 0
        self._url = f"{url}/wh/ringover"
        self._calls = calls
        self._chance = random.Random(f"retries {seed}")
        self._stopping = asyncio.Event()

    def now(self) -> float:
        """Seconds on the run's clock, which the journal and the windows of the faults share."""
        return monotonic() - self._began

    def stop(self) -> None:
        """No new webhooks; the open attempts, and their retries, end by themselves."""
        self._stopping.set()

    async def run(self) -> None:
        """Send until stopped and everything is answered or given up."""
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=30)
        timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
            asyncio.TaskGroup() as group,
        ):
            for call in self._calls:
                if await self._stopped_within(call.begins - self.now()):
                    return
                if self.now() - call.begins > LATE_SECONDS:
                    self.journal.skipped += len(call.sends)
                else:
                    group.create_task(self._call(session, group, call))

    async def _call(self, session: aiohttp.ClientSession, group: asyncio.TaskGroup, call: Call) -> None:
        """A call's webhooks: each is sent when the one before is answered or given up; copies come beside them."""
        for send in call.sends:
            if send.copy:
                group.create_task(self._after(session, send))
            elif not await self._after(session, send):
                return

    async def _after(self, session: aiohttp.ClientSession, send: Send) -> bool:
        """Whether it was sent: not when the run stops first."""
        if await self._stopped_within(send.after):
            return False
        await self._deliver(session, send)
        return True

    async def _deliver(self, session: aiohttp.ClientSession, send: Send) -> None:
        if self._in_flight >= MAX_IN_FLIGHT:
            self.journal.skipped += 1
            return
        webhook = send.webhook
        delivery = Delivery(send.request_id, webhook.slug, webhook.key, webhook.body)
        self.journal.deliveries.append(delivery)
        headers = {
            "Content-Type": "application/json",
            "X-Request-Id": send.request_id,
            "X-Ringover-Signature": signature(b"another body" if send.forged else webhook.body),
        }
        for retry in count():
            await self._attempt(session, delivery, headers)
            if delivery.answer is not Answer.NONE or retry == len(RETRY_AFTER_SECONDS):
                return
            # After the end of the run a sender still tries what it has begun: those answers are obligations, too.
            await asyncio.sleep(RETRY_AFTER_SECONDS[retry] * self._chance.uniform(0.5, 1.5))

    async def _attempt(self, session: aiohttp.ClientSession, delivery: Delivery, headers: dict[str, str]) -> None:
        sent, status, answer = self.now(), 0, Answer.NONE
        self._in_flight += 1
        # Refused, cut off, silent, or an answer that is none: the sender knows nothing.
        with suppress(aiohttp.ClientError, TimeoutError, OSError, ValueError):
            url = f"{self._url}/{delivery.slug}"
            async with session.post(url, data=delivery.body, headers=headers) as response:
                status = response.status
                if status == 202:
                    answer = Answer((await response.json())["status"])
                elif status == _STATUS_OF_AUTHENTICATION:
                    answer = Answer.UNAUTHENTICATED
        self._in_flight -= 1
        self.journal.note(delivery, Attempt(sent, self.now(), status), answer)

    async def _stopped_within(self, seconds: float) -> bool:
        if seconds > 0 and not self._stopping.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), seconds)
        return self._stopping.is_set()


async def main(url: str, seed: int, rate: float, began: float, journal: Path) -> None:
    load = Load(url, calls(seed, rate), seed=seed, began=began)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, load.stop)
    running = asyncio.create_task(load.run())
    while not running.done():
        await asyncio.wait([running], timeout=SAY_SECONDS)
        sys.stdout.write(f"{load.journal.acked} {load.journal.refused}\n")
        sys.stdout.flush()
    await running
    load.journal.write(journal)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]), Path(sys.argv[5])))
