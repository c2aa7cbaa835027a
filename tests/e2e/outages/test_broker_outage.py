"""A broker that is killed, or frozen, under steady load: every webhook is answered 202 and comes out once, in order.

OUTAGE_SECONDS and OUTAGE_RATE (webhooks a second) make it longer and harder.
"""

import asyncio
import os
import re
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from sandbox.devstack.stack import Devstack
from tests.support.kafka import read_topic
from tests.support.plain_http import Connections
from tests.support.ports import stable_port
from tests.support.processes import Program, Programs
from tests.support.steady import Sent, Steady
from tests.support.verdict import Place, judge, processed
from tests.support.waiting import until

OUTAGE_SECONDS = float(os.environ.get("OUTAGE_SECONDS", "6"))
RATE = float(os.environ.get("OUTAGE_RATE", "500"))
CALM_SECONDS = 3.0


async def metric(program: Program, name: str) -> float:
    found = re.search(rf"^{name} (\S+)$", await program.metrics(), re.MULTILINE)
    return float(found[1]) if found else float("nan")


@asynccontextmanager
async def always_ready(ingress: Program) -> AsyncIterator[set[str]]:
    """Asserts that /readyz of the ingress answers 200 all the time; yields what it says."""
    said: set[str] = set()
    wrong: list[tuple[int, str]] = []

    async def watch() -> None:
        while True:
            status, text = await ingress.readyz()
            said.add(re.sub(r"\d+", "N", text.strip()))
            if status != 200:
                wrong.append((status, text))
            await asyncio.sleep(0.2)

    watching = asyncio.create_task(watch())
    try:
        yield said
    finally:
        watching.cancel()
    assert wrong == []


def kill(stack: Devstack) -> None:
    stack.kafka.kill()


def freeze(stack: Devstack) -> None:
    assert stack.kafka.pid is not None
    os.kill(stack.kafka.pid, signal.SIGSTOP)


def thaw(stack: Devstack) -> None:
    assert stack.kafka.pid is not None
    os.kill(stack.kafka.pid, signal.SIGCONT)


def restart(stack: Devstack) -> None:
    stack.kafka.start()


@pytest.mark.timeout(240 + 3 * OUTAGE_SECONDS)
@pytest.mark.parametrize(("away", "back"), [(kill, restart), (freeze, thaw)], ids=["killed", "frozen"])
async def test_no_webhook_is_refused_or_lost(
    stack: Devstack,
    place: Place,
    programs: Programs,
    away: Callable[[Devstack], None],
    back: Callable[[Devstack], None],
) -> None:
    port = stable_port()
    ingress = programs.ingress(INGRESS_PORT=str(port))
    processor = programs.processor()
    await ingress.ready()
    await processor.ready()
    connections = Connections("127.0.0.1", port)
    sender = Steady(connections.post, per_second=RATE, name=away.__name__)
    async with always_ready(ingress) as said:
        sending = asyncio.create_task(sender.run())
        await asyncio.sleep(CALM_SECONDS)
        away(stack)
        try:
            await asyncio.sleep(OUTAGE_SECONDS)
            spooled = await metric(ingress, "ringover_spool_records")
        finally:
            await asyncio.to_thread(back, stack)
        draining = await _drained(ingress, spooled)
        sender.stop()
        sent = await sending
        connections.close()
        await _empty(ingress)

    raw = len(await read_topic(place.bootstrap_servers, place.topics.raw))
    _report(sent, spooled=spooled, raw=raw, draining=draining)
    assert sent.refused == []
    assert spooled > RATE * OUTAGE_SECONDS / 2
    assert any("wait in the spool" in text for text in said)
    await _in_order(place, sent)
    await processed(place, raw, seconds=120)
    await judge(place)
    assert ingress.stop() == 0


async def _drained(ingress: Program, records: float) -> float:
    """Wait until so many left the spool in all, while more come; how long that took."""

    async def gone() -> bool:
        return await metric(ingress, "ringover_spool_drained_total") >= records

    loop = asyncio.get_running_loop()
    began = loop.time()
    await until(gone, seconds=120, what=f"{records:g} records drained")
    return loop.time() - began


async def _empty(ingress: Program) -> None:
    async def empty() -> bool:
        return await metric(ingress, "ringover_spool_records") == 0

    await until(empty, seconds=120, what="an empty spool")


async def _in_order(place: Place, sent: Sent) -> None:
    """Every accepted webhook is in the raw log, and of each call the first copies are in the order of sending."""
    found: dict[bytes, list[bytes]] = defaultdict(list)
    for record in await read_topic(place.bootstrap_servers, place.topics.raw):
        if record.value not in found[record.key]:
            found[record.key].append(record.value)
    wanted: dict[bytes, list[bytes]] = defaultdict(list)
    for webhook in sent.accepted:
        wanted[webhook.key.encode()].append(webhook.body)
    assert {key: bodies for key, bodies in wanted.items() if found.get(key) != bodies} == {}


def _report(sent: Sent, *, spooled: float, raw: int, draining: float) -> None:
    print(  # noqa: T201 - shown with pytest -s: the figures of the run
        f"\noutage {OUTAGE_SECONDS:g} s at {RATE:g}/s: {len(sent.accepted)} answered 202, {len(sent.refused)} refused,"
        f" worst answer {sent.worst_seconds:.2f} s, sender late by {sent.late_seconds:.2f} s,"
        f" {spooled:.0f} in the spool at the end of the outage, drained {draining:.1f} s after it,"
        f" {raw - len(sent.accepted)} copies in the raw log"
    )
