"""Posts the workload: the scenario one by one, the load over many connections with each call's order kept."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence

import aiohttp

from ops.send.run import new_session, post
from ops.send.webhook import HmacSecret, WebhookAnswer
from sandbox.demo.services import Access
from sandbox.demo.workload import Fate, Step

CONNECTIONS = 32
WRONG_SECRET = HmacSecret("not the secret")


async def post_scenario(access: Access, steps: Sequence[Step]) -> list[WebhookAnswer]:
    """Post one after the other; a step that must be refused is signed with another secret."""
    right = HmacSecret(access.secret)
    async with new_session() as session:
        return [
            await post(session, access.url, step.webhook, WRONG_SECRET if step.fate is Fate.REFUSED else right)
            for step in steps
        ]


async def post_load(
    access: Access, calls: Sequence[Sequence[Step]], *, posted: Callable[[int], None]
) -> tuple[list[WebhookAnswer], float]:
    """Post all calls concurrently; returns the answers and the seconds it took. `posted` is told each call's count."""
    queue = iter(calls)
    begin = time.monotonic()
    async with new_session(connections=CONNECTIONS) as session, asyncio.TaskGroup() as group:
        workers = [
            group.create_task(_post_calls(session, access, queue, posted)) for _ in range(min(CONNECTIONS, len(calls)))
        ]
    seconds = time.monotonic() - begin
    return [answer for worker in workers for answer in worker.result()], seconds


async def _post_calls(
    session: aiohttp.ClientSession, access: Access, calls: Iterator[Sequence[Step]], posted: Callable[[int], None]
) -> list[WebhookAnswer]:
    credential = HmacSecret(access.secret)
    answers = []
    for call in calls:
        for step in call:  # the next one of a call only when the one before is durable: as Ringover's events come
            answers.append(await post(session, access.url, step.webhook, credential))  # noqa: PERF401 - in order
        posted(len(call))
    return answers
