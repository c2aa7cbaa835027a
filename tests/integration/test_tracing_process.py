"""Traces of real programs whose servers are away: imports, a shared port, a collector that is away or silent."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from runtime.otel import FLUSH_SECONDS
from tests.support.collector import collecting, silent
from tests.support.ports import stable_port
from tests.support.processes import Program
from tests.support.signing import SECRET, signature
from tests.support.traffic import started
from tests.support.waiting import until

WEBHOOK = started("c-1")
REQUEST = "POST /wh/ringover/call-started"
AWAY = "127.0.0.1:9"


class Ingress:
    """An ingress whose Kafka is away: it answers 503, and traces that."""

    def __init__(self, directory: Path, **variables: str) -> None:
        self.port = int(variables.get("INGRESS_PORT") or stable_port())
        own = {
            "KAFKA_BOOTSTRAP_SERVERS": AWAY,
            "INGRESS_HOST": "127.0.0.1",
            "INGRESS_PORT": str(self.port),
            "INGRESS_HMAC_SECRETS": f"test:{SECRET.decode()}",
            "INGRESS_PUBLISH_TIMEOUT_SECONDS": "0.1",
            "INGRESS_LEAVE_SECONDS": "0",
        }
        self.program = Program(
            "ingress",
            own | variables,
            admin_variable="INGRESS_ADMIN_PORT",
            directory=directory,
            name=f"ingress-{self.port}",
        )

    async def answers(self) -> None:
        """Wait until the port is open."""

        async def answered() -> bool:
            assert self.program.running, self.program.tail()
            try:
                return await self.post() == 503
            except aiohttp.ClientError:
                return False

        await until(answered, what="the first answer")

    async def post(self) -> int:
        headers = {"Content-Type": "application/json", "X-Ringover-Signature": signature(WEBHOOK.body)}
        url = f"http://127.0.0.1:{self.port}/wh/ringover/{WEBHOOK.slug}"
        async with aiohttp.ClientSession() as session, session.post(url, data=WEBHOOK.body, headers=headers) as answer:
            return answer.status

    def stop(self) -> float:
        """SIGTERM; how many seconds until it has exited with 0."""
        began = time.monotonic()
        assert self.program.stop() == 0, self.program.tail()
        return time.monotonic() - began

    @property
    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.program.log.read_text().splitlines()]


@asynccontextmanager
async def running(ingress: Ingress) -> AsyncIterator[Ingress]:
    try:
        await ingress.answers()
        yield ingress
    finally:
        if ingress.program.running:
            ingress.program.kill()


@pytest.mark.parametrize("wanted", [False, True])
@pytest.mark.parametrize("module", ["ingress", "processors"])
async def test_nothing_of_opentelemetry_is_imported_unless_it_is_wanted(
    tmp_path: Path, module: str, wanted: bool
) -> None:
    program = Program(
        module,
        {
            "KAFKA_BOOTSTRAP_SERVERS": AWAY,
            "DATABASE_URL": "postgresql://127.0.0.1:9/none",
            "INGRESS_HOST": "127.0.0.1",
            "INGRESS_PORT": str(stable_port()),
            "INGRESS_HMAC_SECRETS": "a:b",
            "INGRESS_LEAVE_SECONDS": "0",
            "PROCESSOR_HOST": "127.0.0.1",
            "OTEL_SERVICE_NAME": "switches-nothing-on",
            "PYTHONPROFILEIMPORTTIME": "1",  # names every module that is imported
        }
        | ({"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{AWAY}"} if wanted else {}),
        admin_variable="INGRESS_ADMIN_PORT" if module == "ingress" else "PROCESSOR_ADMIN_PORT",
        directory=tmp_path,
        name=module,
    )

    async def serves() -> bool:
        assert program.running, program.tail()
        return (await program.readyz())[0] == 503

    await until(serves, what="an answer of the admin port")
    program.kill()
    imported = {line.rpartition("|")[2].strip() for line in program.log.read_text().splitlines() if "|" in line}
    found = {name for name in imported if name.startswith(("opentelemetry", "google.protobuf", "requests"))}
    assert f"{module}.service" in imported
    assert ("opentelemetry.sdk.trace" in found) is wanted
    assert wanted or found == set()


@asynccontextmanager
async def away() -> AsyncIterator[str]:
    yield f"http://{AWAY}"


@pytest.mark.parametrize("collector", [away, silent])
async def test_collector_that_is_away_or_silent_holds_up_nothing_and_is_said_once(
    tmp_path: Path, collector: Callable[[], AbstractAsyncContextManager[str]]
) -> None:
    async with collector() as url, running(Ingress(tmp_path)) as untraced:
        variables = {"OTEL_EXPORTER_OTLP_TIMEOUT": "0.5", "OTEL_BSP_SCHEDULE_DELAY": "20"}
        async with running(Ingress(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=url, **variables)) as ingress:

            async def said() -> bool:
                assert await ingress.post() == 503
                return any(line["event"] == "traces.unavailable" for line in ingress.lines)

            await until(said, what="the line that says so")
            for _ in range(3):
                await asyncio.gather(*(ingress.post() for _ in range(100)))
            seconds, usual = ingress.stop(), untraced.stop()

    assert seconds < usual + FLUSH_SECONDS + 1
    events = [line["event"] for line in ingress.lines]
    assert events.count("traces.unavailable") == 1
    assert [event for event in events if "export" in str(event) and event != "traces.exported"] == []


async def test_end_waits_for_the_collector_only_so_long(tmp_path: Path) -> None:
    async with silent() as url, running(Ingress(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=url)) as ingress:
        seconds = ingress.stop()  # with the SDK's own patience: ten seconds for each attempt

    assert seconds < FLUSH_SECONDS + 2
    assert "traces.not_flushed" in [line["event"] for line in ingress.lines]


async def test_each_ingress_on_a_shared_port_exports_its_own(tmp_path: Path) -> None:
    async with collecting() as collector:
        variables = {"INGRESS_REUSE_PORT": "true", **collector.environment}
        first = Ingress(tmp_path, **variables)
        async with running(first), running(Ingress(tmp_path, INGRESS_PORT=str(first.port), **variables)) as second:

            async def both() -> bool:
                await first.post()
                return len({span.instance for span in collector.spans}) == 2

            await until(both, what="spans of two processes")
            for ingress in (first, second):
                await asyncio.to_thread(ingress.stop)  # the collector must answer meanwhile

    requests = [span for span in collector.spans if span.name == REQUEST]
    assert {span.service for span in requests} == {"ringover-ingress"}
    assert {span.attributes["error.type"] for span in requests} == {"not_stored"}
    assert all(span.failed for span in requests)
