"""Post webhooks to a real ingress: calls side by side, the webhooks of one call one after another, as a sender does."""

import asyncio
import hashlib
import hmac
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import aiohttp

from tests.support.kafka import Webhook

SECRET = b"a-secret-of-the-tests"


@dataclass
class Answers:
    """What the ingress answered: bodies by their status, in the order of the answers for each call."""

    accepted: list[Webhook] = field(default_factory=list)
    dead_lettered: list[Webhook] = field(default_factory=list)
    refused: list[tuple[int, Webhook]] = field(default_factory=list)


def signature(body: bytes) -> str:
    return hmac.new(SECRET, body, hashlib.sha256).hexdigest()


async def post(session: aiohttp.ClientSession, url: str, webhook: Webhook, answers: Answers) -> None:
    headers = {"Content-Type": "application/json", "X-Ringover-Signature": signature(webhook.body)}
    async with session.post(f"{url}/wh/ringover/{webhook.slug}", data=webhook.body, headers=headers) as response:
        if response.status != 202:
            answers.refused.append((response.status, webhook))
        elif (await response.json())["status"] == "accepted":
            answers.accepted.append(webhook)
        else:
            answers.dead_lettered.append(webhook)


async def post_all(url: str, webhooks: Iterable[Webhook], *, connections: int = 64) -> Answers:
    """Post everything over keep-alive connections; each connection works on one call at a time."""
    by_call: dict[str, list[Webhook]] = defaultdict(list)
    for webhook in webhooks:
        by_call[webhook.key].append(webhook)
    waiting = iter(by_call.values())
    answers = Answers()

    async def sender(session: aiohttp.ClientSession) -> None:
        for of_call in waiting:
            for webhook in of_call:
                await post(session, url, webhook, answers)

    connector = aiohttp.TCPConnector(limit=connections)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(sender(session))
    return answers
