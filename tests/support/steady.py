"""An open-loop sender: so many webhooks a second, whatever the ingress answers, as telephony does."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import aiohttp

from tests.support.kafka import Webhook
from tests.support.load import signature
from tests.support.traffic import ended, started

CALL_SECONDS = 2.0  # from a call's first webhook to its last


@dataclass
class Sent:
    """What was sent and what came back."""

    accepted: list[Webhook] = field(default_factory=list)
    refused: list[tuple[str, Webhook]] = field(default_factory=list)
    worst_seconds: float = 0.0
    late_seconds: float = 0.0  # how far the sender itself fell behind its plan


class Steady:
    """Sends until `stop` is called; the second webhook of a call waits for the answer to the first."""

    def __init__(self, url: str, *, per_second: float, name: str) -> None:
        self.sent = Sent()
        self._url = url
        self._rate = per_second
        self._name = name
        self._stopping = False
        self._answered: dict[str, asyncio.Task[None]] = {}

    def stop(self) -> None:
        self._stopping = True

    async def run(self) -> Sent:
        connector = aiohttp.TCPConnector(limit=0)
        began = time.monotonic()
        async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:
            for number, webhook in enumerate(self._webhooks()):
                due = began + number / self._rate
                behind = time.monotonic() - due
                self.sent.late_seconds = max(self.sent.late_seconds, behind)
                if behind < 0:
                    await asyncio.sleep(-behind)
                before = self._answered.pop(webhook.key, None)
                task = group.create_task(self._send(session, webhook, before))
                if before is None:
                    self._answered[webhook.key] = task
        return self.sent

    def _webhooks(self) -> Iterator[Webhook]:
        """Calls that begin, and then end in the same order; a call that has begun also ends."""
        calls = int(self._rate * CALL_SECONDS)
        block = 0
        while not self._stopping:
            names = [f"{self._name}-{block}-{number}" for number in range(calls)]
            yield from (started(name) for name in names)
            yield from (ended(name) for name in names)
            block += 1

    async def _send(self, session: aiohttp.ClientSession, webhook: Webhook, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await before
        headers = {"Content-Type": "application/json", "X-Ringover-Signature": signature(webhook.body)}
        began = time.monotonic()
        try:
            async with session.post(
                f"{self._url}/wh/ringover/{webhook.slug}", data=webhook.body, headers=headers
            ) as response:
                answer = str(response.status) if response.status == 202 else await response.text()
        except aiohttp.ClientError as error:
            answer = repr(error)
        self.sent.worst_seconds = max(self.sent.worst_seconds, time.monotonic() - began)
        if answer == "202":
            self.sent.accepted.append(webhook)
        else:
            self.sent.refused.append((answer, webhook))
