"""An open-loop sender: so many webhooks a second, whatever the ingress answers, as telephony does."""

import asyncio
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

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
    """Sends until `stop` is called; the second webhook of a call waits for the answer to the first.

    It speaks HTTP by hand: a client library takes more of a busy machine than the ingress does.
    """

    def __init__(self, host: str, port: int, *, per_second: float, name: str) -> None:
        self.sent = Sent()
        self._address = (host, port)
        self._rate = per_second
        self._name = name
        self._stopping = False
        self._answered: dict[str, asyncio.Task[None]] = {}
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    def stop(self) -> None:
        self._stopping = True

    async def run(self) -> Sent:
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number, webhook in enumerate(self._webhooks()):
                behind = time.monotonic() - (began + number / self._rate)
                self.sent.late_seconds = max(self.sent.late_seconds, behind)
                await asyncio.sleep(max(0.0, -behind))
                before = self._answered.pop(webhook.key, None)
                task = group.create_task(self._send(webhook, before))
                if before is None:
                    self._answered[webhook.key] = task
        for _, writer in self._idle:
            writer.close()
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

    async def _post(self, webhook: Webhook) -> str:
        """The head of the answer."""
        reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection(*self._address)
        writer.write(
            f"POST /wh/ringover/{webhook.slug} HTTP/1.1\r\nHost: ingress\r\nContent-Type: application/json\r\n"
            f"X-Ringover-Signature: {signature(webhook.body)}\r\nContent-Length: {len(webhook.body)}\r\n\r\n".encode()
            + webhook.body
        )
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = re.search(r"\r\ncontent-length: (\d+)", head, re.IGNORECASE)
        assert length is not None, head
        await reader.readexactly(int(length[1]))
        self._idle.append((reader, writer))
        return head
