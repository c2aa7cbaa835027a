"""The ingress under attack: memory stays bounded, its loop is not blocked, and good senders are served meanwhile."""

import asyncio
import re
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from ops.devstack.ports import free_port
from schemas.topics import TopicNames
from tests.support.processes import Program, Programs
from tests.support.waiting import until
from tests.unit.ingress.serving import BODY, SECRET, STARTED_PATH, signed, signed_head

MIB = 1024 * 1024
ANSWER_SECONDS = 2.0
BLOCK_SECONDS = 0.1


def memory_bound(connections: int, buffered_bytes: int) -> int:
    """docs/design.md, "Overload": what the process may take at most."""
    return 96 * MIB + connections * 64 * 1024 + 3 * buffered_bytes


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

    async def worst_block(self) -> float:
        """Of the loop, by our own code, since the start."""
        await asyncio.sleep(0)
        return await self.metric('ringover_event_loop_worst_seconds{clock="cpu"}')


@asynccontextmanager
async def ingress(bootstrap_servers: str, prefix: str, directory: Path, **settings: str) -> AsyncIterator[Ingress]:
    port = free_port()
    env = {
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": prefix,
        "INGRESS_HOST": "127.0.0.1",
        "INGRESS_PORT": str(port),
        "INGRESS_HMAC_SECRETS": f"key-1:{SECRET.decode()},key-0:another",
    }
    programs = Programs(env, directory)
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
    """What good senders saw."""

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)

    def served(self) -> bool:
        return set(self.statuses) <= {202, 503} and self.statuses[202] > 0 and max(self.seconds) < ANSWER_SECONDS


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
            await asyncio.sleep(0.01)

    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:
        for _ in range(senders):
            group.create_task(sender(session))
    return good


def figures(name: str, good: Good, running: Ingress, block: float, wall: float, report: str) -> None:
    ordered = sorted(good.seconds)
    print(
        f"\n{name}: {dict(good.statuses)}, median {ordered[len(ordered) // 2] * 1000:.1f} ms,"
        f" p99 {ordered[len(ordered) * 99 // 100] * 1000:.1f} ms, worst {ordered[-1] * 1000:.0f} ms,"
        f" peak {running.peak_memory() / MIB:.0f} MiB, block cpu {block * 1000:.0f} ms wall {wall * 1000:.0f} ms, {report}"
    )


async def attacked(running: Ingress, kind: str, count: int, seconds: float) -> Good:
    async with attack(kind, running.port, count) as attacking:
        good = await good_senders(running.port, seconds=seconds)
        open_now = await running.metric("ringover_http_connections")
        held = await running.metric("ringover_http_buffered_bytes")
    figures(
        kind,
        good,
        running,
        await running.worst_block(),
        await running.metric('ringover_event_loop_worst_seconds{clock="wall"}'),
        f"{open_now=} {held=} {attacking.report}",
    )
    return good


async def test_ten_thousand_connections(kafka_bootstrap_servers: str, topics: TopicNames, tmp_path: Path) -> None:
    async with ingress(kafka_bootstrap_servers, topics.prefix, tmp_path) as running:
        print("idle", running.peak_memory() / MIB)
        good = await attacked(running, "heads", 10_000, 5)

        assert good.served(), good
        assert running.peak_memory() < 300_000_000
        assert await running.worst_block() < BLOCK_SECONDS


async def test_dripped_bodies(kafka_bootstrap_servers: str, topics: TopicNames, tmp_path: Path) -> None:
    async with ingress(kafka_bootstrap_servers, topics.prefix, tmp_path) as running:
        good = await attacked(running, "bodies", 2_000, 4)

        assert good.served(), good
        assert running.peak_memory() < memory_bound(2_100, 64 * MIB)
        assert await running.worst_block() < BLOCK_SECONDS


async def test_flood_of_bad_signatures(kafka_bootstrap_servers: str, topics: TopicNames, tmp_path: Path) -> None:
    async with ingress(kafka_bootstrap_servers, topics.prefix, tmp_path) as running:
        good = await attacked(running, "forged", 64, 3)

        assert good.served(), good
        assert running.peak_memory() < memory_bound(200, 64 * MIB)
        assert await running.worst_block() < BLOCK_SECONDS


async def test_large_bodies(kafka_bootstrap_servers: str, topics: TopicNames, tmp_path: Path) -> None:
    async with ingress(kafka_bootstrap_servers, topics.prefix, tmp_path) as running:
        good = await attacked(running, "large", 64, 4)

        assert good.served(), good
        assert running.peak_memory() < memory_bound(200, 64 * MIB)
        assert await running.worst_block() < BLOCK_SECONDS
