"""Post webhooks to a real ingress: calls side by side, the webhooks of one call one after another, as a sender does."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import aiohttp

from tests.support.kafka import Webhook
from tests.support.plain_http import Connections
from tests.support.signing import signature


@dataclass
class Answers:
    """What the ingress answered: bodies by their status, in the order of the answers for each call."""

    accepted: list[Webhook] = field(default_factory=list)
    dead_lettered: list[Webhook] = field(default_factory=list)
    refused: list[tuple[int, Webhook]] = field(default_factory=list)

    def note(self, status: int, body: bytes, webhook: Webhook) -> None:
        if status != 202:
            self.refused.append((status, webhook))
        elif json.loads(body)["status"] == "accepted":
            self.accepted.append(webhook)
        else:
            self.dead_lettered.append(webhook)


async def post(session: aiohttp.ClientSession, url: str, webhook: Webhook, answers: Answers) -> None:
    headers = {"Content-Type": "application/json", "X-Ringover-Signature": signature(webhook.body)}
    async with session.post(f"{url}/wh/ringover/{webhook.slug}", data=webhook.body, headers=headers) as response:
        answers.note(response.status, await response.read(), webhook)


async def post_all(url: str, webhooks: Iterable[Webhook], *, connections: int = 64) -> Answers:
    """Post everything over keep-alive connections; each connection works on one call at a time."""
    by_call: dict[str, list[Webhook]] = defaultdict(list)
    for webhook in webhooks:
        by_call[webhook.key].append(webhook)
    waiting = iter(by_call.values())
    answers = Answers()
    address = urlsplit(url)
    assert address.hostname is not None
    assert address.port is not None
    opened = Connections(address.hostname, address.port)

    async def sender() -> None:
        for of_call in waiting:
            for webhook in of_call:
                head, body = await opened.exchange(webhook)
                answers.note(int(head.split()[1]), body, webhook)

    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(sender())
    opened.close()
    return answers
