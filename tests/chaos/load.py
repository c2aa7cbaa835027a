"""The open-loop generator: webhooks come by the clock, whatever the ingress does; each sender retries a few times."""

import asyncio
import random
from collections.abc import Iterable
from contextlib import suppress
from itertools import count
from time import monotonic

import aiohttp

from tests.chaos.calls import Call, Send
from tests.chaos.journal import Answer, Attempt, Delivery, Journal
from tests.support.load import signature

RETRY_AFTER_SECONDS = (0.5, 2.0, 5.0)
REQUEST_SECONDS = 12.0  # above the ingress's own deadline for a publish
MAX_OPEN_CALLS = 6000  # bounds our memory when nothing answers for long

_STATUS_OF_AUTHENTICATION = 401


class Load:
    """Runs until `stop`; the journal may be read meanwhile."""

    def __init__(self, url: str, calls: Iterable[Call], *, seed: int) -> None:
        self.journal = Journal()
        self.began = monotonic()
        self._url = f"{url}/wh/ringover"
        self._calls = calls
        self._chance = random.Random(f"retries {seed}")
        self._stopping = asyncio.Event()

    def now(self) -> float:
        """Seconds on the run's clock, which the journal and the windows of the faults share."""
        return monotonic() - self.began

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
            self.began = monotonic()
            open_calls: set[asyncio.Task[None]] = set()
            for call in self._calls:
                if await self._stopped_within(call.begins - self.now()):
                    return
                if len(open_calls) >= MAX_OPEN_CALLS:
                    self.journal.skipped += len(call.sends)
                    continue
                task = group.create_task(self._call(session, group, call))
                open_calls.add(task)
                task.add_done_callback(open_calls.discard)

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
        # Refused, cut off, silent, or an answer that is none: the sender knows nothing.
        with suppress(aiohttp.ClientError, TimeoutError, OSError, ValueError):
            url = f"{self._url}/{delivery.slug}"
            async with session.post(url, data=delivery.body, headers=headers) as response:
                status = response.status
                if status == 202:
                    answer = Answer((await response.json())["status"])
                elif status == _STATUS_OF_AUTHENTICATION:
                    answer = Answer.UNAUTHENTICATED
        self.journal.note(delivery, Attempt(sent, self.now(), status), answer)

    async def _stopped_within(self, seconds: float) -> bool:
        if seconds > 0 and not self._stopping.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), seconds)
        return self._stopping.is_set()
