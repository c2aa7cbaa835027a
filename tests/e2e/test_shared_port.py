"""Two ingresses share a port under steady load and are restarted in turn: no request is refused, none is lost.

SHARED_RATE (webhooks a second, each on a connection of its own) and SHARED_RESTARTS make it harder.
"""

import asyncio
import os
import re
from collections import Counter
from pathlib import Path

from runtime.lifecycle import EXIT_REFUSED
from tests.support.kafka import read_topic
from tests.support.plain_http import Connections
from tests.support.ports import stable_port
from tests.support.processes import Program, Programs
from tests.support.steady import Sent, Steady
from tests.support.verdict import Place
from tests.support.waiting import until

RATE = float(os.environ.get("SHARED_RATE", "100"))
RESTARTS = int(os.environ.get("SHARED_RESTARTS", "2"))


async def test_restart_of_an_ingress_that_shares_its_port_refuses_no_request(
    place: Place, programs: Programs, tmp_path: Path
) -> None:
    port = stable_port()
    ingresses = [_ingress(programs, port, tmp_path / f"spool-{number}") for number in range(2)]
    for ingress in ingresses:
        await ingress.ready()
    connections = Connections("127.0.0.1", port, kept=False)
    sender = Steady(connections.post, per_second=RATE, name="shared")
    sending = asyncio.create_task(sender.run())
    try:
        for number in range(RESTARTS):
            leaving = number % 2
            await _has_served(ingresses[leaving])
            assert await asyncio.to_thread(ingresses[leaving].stop, seconds=40) == 0, ingresses[leaving].tail()
            ingresses[leaving] = _ingress(programs, port, tmp_path / f"spool-{leaving}")
            await ingresses[leaving].ready()
        for ingress in ingresses:
            await _has_served(ingress)
    finally:
        sender.stop()
        sent = await sending
    _report(sent)

    assert sent.refused == []
    stored = Counter(record.value for record in await read_topic(place.bootstrap_servers, place.topics.raw))
    assert stored == Counter(webhook.body for webhook in sent.accepted)


async def test_two_ingresses_on_a_shared_port_do_not_share_a_spool(programs: Programs, tmp_path: Path) -> None:
    port = stable_port()
    await _ingress(programs, port, tmp_path / "spool").ready()

    second = _ingress(programs, port, tmp_path / "spool")

    assert await asyncio.to_thread(second.process.wait, 30) == EXIT_REFUSED
    assert "in use by another process" in second.tail()


def _ingress(programs: Programs, port: int, spool: Path) -> Program:
    return programs.ingress(
        INGRESS_PORT=str(port),
        INGRESS_REUSE_PORT="true",
        INGRESS_LEAVE_SECONDS="1",  # the default
        INGRESS_SPOOL_DIR=str(spool),
        INGRESS_SPOOL_AFTER_SECONDS="8",  # a busy machine is no outage
    )


async def _has_served(ingress: Program) -> None:
    async def accepted() -> bool:
        found = re.search(r'^ringover_http_requests_total\{code="202",.* (\S+)$', await ingress.metrics(), re.MULTILINE)
        return found is not None and float(found[1]) > 0

    await until(accepted, what=f"webhooks at {ingress.name}")


def _report(sent: Sent) -> None:
    print(  # noqa: T201 - shown with pytest -s: the figures of the run
        f"\n{RESTARTS} restarts at {RATE:g}/s on one port: {len(sent.accepted)} answered 202,"
        f" {len(sent.refused)} refused {sorted({answer[:60] for answer, _ in sent.refused})},"
        f" worst answer {sent.worst_seconds:.2f} s"
    )
