"""An open-loop sender: so many webhooks a second, whatever the ingress answers, as telephony does.

A sender that the machine kept from sending does not make up for it: telephony sends no webhooks of seconds in one
burst, and the kernel keeps only so many connections for an ingress to accept. What is late by more than
CATCH_UP_SECONDS is put off, and all after it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field

from tests.support.kafka import Webhook
from tests.support.traffic import ended, started

CALL_SECONDS = 2.0  # from a call's first webhook to its last
CATCH_UP_SECONDS = 0.2


@dataclass
class Sent:
    """What was sent and what came back."""

    accepted: list[Webhook] = field(default_factory=list)
    refused: list[tuple[str, Webhook]] = field(default_factory=list)
    worst_seconds: float = 0.0
    late_seconds: float = 0.0  # by how much the sender itself had to put its plan off, in all


class Steady:
    """Sends until `stop` is called; a webhook of a call waits for the answer to the one before."""

    def __init__(
        self,
        post: Callable[[Webhook], Awaitable[str]],
        *,
        per_second: float,
        name: str,
        of_call: Callable[[str], tuple[Iterable[Webhook], Iterable[Webhook]]] = lambda call: (
            [started(call)],
            [ended(call)],
        ),
    ) -> None:
        """`post` answers the head of the answer; `of_call` makes the webhooks at the begin and at the end of a call."""
        self.sent = Sent()
        self._post = post
        self._rate = per_second
        self._name = name
        self._of_call = of_call
        self._stopping = False
        self._latest: dict[str, asyncio.Task[None]] = {}

    def stop(self) -> None:
        self._stopping = True

    async def run(self) -> Sent:
        due = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for webhook in self._webhooks():
                behind = time.monotonic() - due
                put_off = max(0.0, behind - CATCH_UP_SECONDS)
                self.sent.late_seconds += put_off
                due += put_off + 1 / self._rate
                await asyncio.sleep(max(0.0, -behind))
                self._latest[webhook.key] = group.create_task(self._send(webhook, self._latest.get(webhook.key)))
        return self.sent

    def _webhooks(self) -> Iterator[Webhook]:
        """Calls that begin, and then end in the same order; a call that has begun also ends."""
        calls = int(self._rate * CALL_SECONDS)
        block = 0
        while not self._stopping:
            names = [f"{self._name}-{block}-{number}" for number in range(calls)]
            for part in (0, 1):
                for name in names:
                    yield from self._of_call(name)[part]
            block += 1

    async def _send(self, webhook: Webhook, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await before
        began = time.monotonic()
        try:
            answer = await self._post(webhook)
        except (OSError, asyncio.IncompleteReadError) as error:
            answer = repr(error)
        self.sent.worst_seconds = max(self.sent.worst_seconds, time.monotonic() - began)
        if answer.startswith("HTTP/1.1 202 "):
            self.sent.accepted.append(webhook)
        else:
            self.sent.refused.append((answer, webhook))
        if self._latest[webhook.key] is asyncio.current_task():
            del self._latest[webhook.key]
