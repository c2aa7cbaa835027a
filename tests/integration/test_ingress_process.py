"""The ingress as a process on a real Kafka: readiness, storing, SIGTERM, and a broker that is away."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from schemas.topics import TopicNames
from tests.support.kafka import read_topic
from tests.support.ports import stable_port
from tests.support.waiting import until
from tests.unit.ingress.serving import BODY, SECRET, STARTED_PATH, signed, signed_head


@dataclass
class Ingress:
    """A running ingress process."""

    process: asyncio.subprocess.Process
    port: int
    admin_port: int
    client: aiohttp.ClientSession

    async def readiness(self) -> int | None:
        try:
            async with self.client.get(f"http://127.0.0.1:{self.admin_port}/readyz") as response:
                return response.status
        except aiohttp.ClientError:
            return None

    async def becomes(self, readiness: int) -> None:
        async def ask() -> bool:
            return await self.readiness() == readiness

        await until(ask, what=f"/readyz {readiness}")

    async def post(self) -> int:
        url = f"http://127.0.0.1:{self.port}{STARTED_PATH}"
        async with self.client.post(url, data=BODY, headers=signed()) as response:
            return response.status

    async def exit_code(self) -> int:
        async with asyncio.timeout(20):
            return await self.process.wait()


@asynccontextmanager
async def ingress(bootstrap_servers: str, prefix: str) -> AsyncIterator[Ingress]:
    port, admin_port = stable_port(), stable_port()
    variables = {
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": prefix,
        "INGRESS_HOST": "127.0.0.1",
        "INGRESS_PORT": str(port),
        "INGRESS_ADMIN_PORT": str(admin_port),
        "INGRESS_HMAC_SECRETS": f"key-1:{SECRET.decode()}",
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "ingress", env=os.environ | variables)
    try:
        async with aiohttp.ClientSession() as client:
            yield Ingress(process, port, admin_port, client)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_sigterm_finishes_what_is_in_flight_and_exits_0(kafka_bootstrap_servers: str, topics: TopicNames) -> None:
    async with ingress(kafka_bootstrap_servers, topics.prefix) as running:
        await running.becomes(200)
        assert await running.post() == 202
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(signed_head(BODY, f"Content-Length: {len(BODY)}", "Expect: 100-continue"))
        await reader.readuntil(b"\r\n\r\n")  # 100 Continue: the request is in flight

        running.process.send_signal(signal.SIGTERM)
        await running.becomes(503)
        writer.write(BODY)
        answer = await reader.readuntil(b"\r\n\r\n")

        assert answer.startswith(b"HTTP/1.1 202 ")
        assert await running.exit_code() == 0
        writer.close()
    assert [record.value for record in await read_topic(kafka_bootstrap_servers, topics.raw)] == [BODY, BODY]


async def test_broker_away_is_503_until_sigterm() -> None:
    async with ingress(f"127.0.0.1:{stable_port()}", "") as running:
        await running.becomes(503)

        assert await running.post() == 503
        running.process.send_signal(signal.SIGTERM)
        assert await running.exit_code() == 0


async def test_taken_port_is_one_clear_failure() -> None:
    async with ingress(f"127.0.0.1:{stable_port()}", "") as running:
        await running.becomes(503)
        variables = {
            "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
            "INGRESS_HOST": "127.0.0.1",
            "INGRESS_PORT": str(running.port),
            "INGRESS_ADMIN_PORT": str(stable_port()),
            "INGRESS_HMAC_SECRETS": "a:b",
        }
        second = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "ingress", env=os.environ | variables, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await second.communicate()

        assert second.returncode == 1
        assert f"cannot listen on 127.0.0.1:{running.port}".encode() in output
        assert b"Traceback" not in output
