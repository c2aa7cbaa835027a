"""The ingress under attack: memory stays bounded, its loop is not blocked, and good senders are served meanwhile."""

import asyncio
import json
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from schemas.topics import TopicNames
from tests.support.ports import stable_port
from tests.support.processes import Program, Programs
from tests.support.waiting import until
from tests.unit.ingress.serving import BODY, SECRET, STARTED_PATH, signed

pytestmark = pytest.mark.alone  # memory, the loop's delay, how long good senders wait

MIB = 1024 * 1024
ANSWER_SECONDS = 2.0
BLOCK_SECONDS = 0.1


def memory_bound(connections: int, buffered_bytes: int) -> int:
    """docs/design.md, "Overload": what the process may take at most."""
    return 96 * MIB + connections * 64 * 1024 + 3 * buffered_bytes


@dataclass(frozen=True, slots=True)
class ProcessorTime:
    """Nanoseconds that a process ran, and that it waited for a processor that others had (proc(5), schedstat)."""

    running: int
    waiting: int

    def stretch_since(self, before: "ProcessorTime") -> float:
        """How many times longer than on a machine of its own everything took."""
        running = max(1, self.running - before.running)
        return 1 + (self.waiting - before.waiting) / running


@dataclass
class Ingress:
    """A running ingress and what is asked of it."""

    program: Program
    port: int

    def peak_memory(self) -> int:
        """The most that the process ever had in memory (VmHWM of proc(5))."""
        status = Path(f"/proc/{self.program.process.pid}/status").read_text()
        found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
        assert found is not None
        return int(found[1]) * 1024

    async def metric(self, name: str) -> float:
        found = re.search(rf"^{re.escape(name)} (\S+)$", await self.program.metrics(), re.MULTILINE)
        return float(found[1]) if found else 0.0

    async def worst_block(self, clock: str) -> float:
        """Of the loop, since the start: by the wall, or only what our own code took (`cpu`)."""
        return await self.metric(f'ringover_event_loop_worst_seconds{{clock="{clock}"}}')

    async def is_alone(self) -> bool:
        return await self.metric("ringover_http_connections") == 0

    def processor_time(self) -> "ProcessorTime":
        running, waiting, _ = Path(f"/proc/{self.program.process.pid}/schedstat").read_text().split()
        return ProcessorTime(int(running), int(waiting))


@asynccontextmanager
async def ingress(bootstrap_servers: str, prefix: str, directory: Path, **settings: str) -> AsyncIterator[Ingress]:
    port = stable_port()
    env = {
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": prefix,
        "INGRESS_HOST": "127.0.0.1",
        "INGRESS_PORT": str(port),
        "INGRESS_HMAC_SECRETS": f"key-1:{SECRET.decode()},key-0:another",
    }
    programs = Programs(env, directory, forks=False)  # whose memory and time are measured
    try:
        program = programs.ingress(**settings)
        await program.ready()
        yield Ingress(program, port)
    finally:
        programs.close()


@dataclass
class Attack:
    """A hostile process; `report` is its last line."""

    process: asyncio.subprocess.Process
    report: str = ""


@asynccontextmanager
async def attack(kind: str, port: int, count: int) -> AsyncIterator[Attack]:
    """Attack while the context is open; it begins when all attackers are at work."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.attackers", kind, "127.0.0.1", str(port), str(count)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    attacking = Attack(process)
    try:
        async with asyncio.timeout(30):
            assert await process.stdout.readline() == b"ready\n"
        yield attacking
        process.stdin.close()
        async with asyncio.timeout(30):
            attacking.report = (await process.stdout.readline()).decode()
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@dataclass
class Good:
    """What good senders saw while an attack went on."""

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        ordered = sorted(self.seconds)
        median, worst = ordered[len(ordered) // 2], ordered[-1]
        return f"{dict(self.statuses)}, median {median * 1000:.0f} ms, worst {worst * 1000:.0f} ms"


async def good_senders(port: int, *, seconds: float, senders: int = 4) -> Good:
    """Post over a new connection each time, as a sender does that nobody keeps a connection for."""
    good = Good()
    end = time.monotonic() + seconds

    async def sender(session: aiohttp.ClientSession) -> None:
        while time.monotonic() < end:
            began = time.monotonic()
            url = f"http://127.0.0.1:{port}{STARTED_PATH}"
            async with session.post(url, data=BODY, headers=signed()) as response:
                good.statuses[response.status] += 1
            good.seconds.append(time.monotonic() - began)

    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:
        for _ in range(senders):
            group.create_task(sender(session))
    return good


async def assert_withstands(
    running: Ingress, kind: str, count: int, *, seconds: float, bound: int, gone_at_once: bool = False
) -> dict[str, int]:
    """Good senders are served while `count` others attack; memory and loop stay within their limits.

    `gone_at_once`: the attackers are seen to leave all in one moment, as when a network breaks.
    """
    async with attack(kind, running.port, count) as attacking:
        before = running.processor_time()
        good = await good_senders(running.port, seconds=seconds)
        stretch = running.processor_time().stretch_since(before)
        if gone_at_once:
            running.program.process.send_signal(signal.SIGSTOP)
    running.program.process.send_signal(signal.SIGCONT)
    await until(running.is_alone, what="that all attackers are gone")
    worst_block, wall = await running.worst_block("cpu"), await running.worst_block("wall")
    found = (
        f"{kind}: {good}, stretch {stretch:.1f}, peak {running.peak_memory() / MIB:.0f} of {bound / MIB:.0f} MiB,"
        f" worst block {worst_block * 1000:.0f} ms of processor time, {wall * 1000:.0f} ms by wall, {attacking.report}"
    )
    print(found)  # noqa: T201 - figures, shown by -s

    assert set(good.statuses) <= {202, 503}, found
    assert good.statuses[202] > 0, found
    assert max(good.seconds) < ANSWER_SECONDS * stretch, found
    assert running.peak_memory() < bound, found
    assert worst_block < BLOCK_SECONDS, found
    report: dict[str, int] = json.loads(attacking.report)
    return report


async def test_ten_thousand_connections(kafka_bootstrap_servers: str, topics: TopicNames, tmp_path: Path) -> None:
    settings = {"INGRESS_REQUEST_TIMEOUT_SECONDS": "60"}  # none of the slow heads ends by itself
    async with ingress(kafka_bootstrap_servers, topics.prefix, tmp_path, **settings) as running:
        await assert_withstands(running, "heads", 10_000, seconds=4, bound=300_000_000, gone_at_once=True)

        assert await running.metric('ringover_http_displaced_total{wanted="connection"}') > 0  # so all were open


async def test_dripped_bodies(kafka_bootstrap_servers: str, topics: TopicNames, tmp_path: Path) -> None:
    async with ingress(kafka_bootstrap_servers, topics.prefix, tmp_path) as running:
        await assert_withstands(running, "bodies", 2_000, seconds=4, bound=memory_bound(2_100, 64 * MIB))

        assert await running.metric('ringover_http_displaced_total{wanted="bytes"}') > 0


async def test_flood_of_bad_signatures(kafka_bootstrap_servers: str, topics: TopicNames, tmp_path: Path) -> None:
    async with ingress(kafka_bootstrap_servers, topics.prefix, tmp_path) as running:
        report = await assert_withstands(running, "forged", 64, seconds=3, bound=memory_bound(200, 64 * MIB))

        counted = await running.metric('ringover_webhook_refused_total{code="signature_wrong"}')
        lines = running.program.log.read_text().count('"code": "signature_wrong", "key_id"')
        assert report.keys() == {"401"}
        assert counted == report["401"] > lines > 0
        assert "Traceback" not in running.program.log.read_text()


async def test_large_bodies(kafka_bootstrap_servers: str, topics: TopicNames, tmp_path: Path) -> None:
    settings = {"INGRESS_MAX_BUFFERED_BYTES": str(32 * MIB)}
    async with ingress(kafka_bootstrap_servers, topics.prefix, tmp_path, **settings) as running:
        report = await assert_withstands(running, "large", 64, seconds=4, bound=memory_bound(200, 32 * MIB))

        assert report.keys() <= {"202", "503"}
        assert report.get("202", 0) > 0


async def test_pipelining_without_reading(kafka_bootstrap_servers: str, topics: TopicNames, tmp_path: Path) -> None:
    async with ingress(kafka_bootstrap_servers, topics.prefix, tmp_path) as running:
        await assert_withstands(running, "pipelined", 32, seconds=3, bound=memory_bound(200, 64 * MIB))

        assert await running.metric('ringover_http_requests_total{code="404",endpoint="other"}') > 100
        assert await running.metric('ringover_http_requests_total{code="400",endpoint="other"}') == 0
