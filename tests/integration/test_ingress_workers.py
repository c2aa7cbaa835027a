"""Several ingress processes on one port: all serve, one admin port answers for them, and they end together."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from schemas.topics import TopicNames
from tests.support.kafka import read_topic
from tests.support.ports import stable_port
from tests.support.processes import Program, inherited
from tests.support.waiting import until
from tests.unit.ingress.serving import BODY, SECRET, STARTED_PATH, signed, signed_head

NOBODY = "127.0.0.1:1"  # a port that no broker listens on
WORKERS = 2


class Workers(Program):
    """`ringover-ingress --workers 2`."""

    def __init__(self, env: dict[str, str], directory: Path) -> None:
        self.port = stable_port()
        own = {"INGRESS_HOST": "127.0.0.1", "INGRESS_PORT": str(self.port)}
        if "INGRESS_HMAC_SECRETS_FILE" not in env:
            own["INGRESS_HMAC_SECRETS"] = f"a:{SECRET.decode()}"
        super().__init__(
            "ingress",
            {**own, **env},
            admin_variable="INGRESS_ADMIN_PORT",
            directory=directory,
            name="workers",
            arguments=("--workers", str(WORKERS)),
        )

    def pids(self) -> list[int]:
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    async def post(self) -> int:
        """Over a connection of its own, which the kernel gives to some worker."""
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"http://127.0.0.1:{self.port}{STARTED_PATH}", data=BODY, headers=signed()) as response,
        ):
            return response.status

    async def all_run(self) -> None:
        """Wait until each says what keeps it from being ready."""

        async def ask() -> bool:
            assert self.running, f"{self.name} ended with {self.process.returncode}:\n{self.tail()}"
            status, text = await self.readyz()
            return status == 503 and all(f"worker {n}: Kafka cannot be reached" in text for n in range(WORKERS))

        await until(ask, what="all workers")

    async def accepted(self) -> Counter[str]:
        """Webhooks by worker."""
        found = re.findall(
            r'^ringover_http_requests_total\{code="202",endpoint="call-started",worker="(\d)"\} (\S+)$',
            await self.metrics(),
            re.MULTILINE,
        )
        return Counter({worker: int(float(count)) for worker, count in found})


@asynccontextmanager
async def running(directory: Path, **env: str) -> AsyncIterator[Workers]:
    workers = Workers(env, directory)
    try:
        yield workers
    finally:
        if workers.running:
            workers.kill()


def exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def test_all_workers_serve_and_sigterm_drains_them_all(
    kafka_bootstrap_servers: str, topics: TopicNames, tmp_path: Path
) -> None:
    env = {"KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap_servers, "KAFKA_TOPIC_PREFIX": topics.prefix}
    async with running(tmp_path, **env) as workers:
        await workers.ready()
        sent = 0

        async def both_served() -> bool:
            nonlocal sent
            assert await workers.post() == 202
            sent += 1
            return len(await workers.accepted()) == WORKERS

        await until(both_served, what="webhooks at both workers")
        assert (await workers.accepted()).total() == sent

        reader, writer = await asyncio.open_connection("127.0.0.1", workers.port)
        writer.write(signed_head(BODY, f"Content-Length: {len(BODY)}", "Expect: 100-continue"))
        await reader.readuntil(b"\r\n\r\n")  # 100 Continue: the request is in flight
        workers.send_signal(signal.SIGTERM)

        async def unready() -> bool:
            return (await workers.readyz())[0] == 503

        await until(unready, what="an unready ingress")
        writer.write(BODY)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 202 ")
        writer.close()
        assert await asyncio.to_thread(workers.process.wait, 20) == 0
    assert len(await read_topic(kafka_bootstrap_servers, topics.raw)) == sent + 1


async def test_ready_only_when_all_are(tmp_path: Path) -> None:
    async with running(tmp_path, KAFKA_BOOTSTRAP_SERVERS=NOBODY) as workers:
        await workers.all_run()
        assert workers.stop() == 0


async def test_worker_that_dies_ends_all(tmp_path: Path) -> None:
    async with running(tmp_path, KAFKA_BOOTSTRAP_SERVERS=NOBODY) as workers:
        await workers.all_run()
        killed, other = workers.pids()
        os.kill(killed, signal.SIGKILL)

        assert await asyncio.to_thread(workers.process.wait, 20) == 1
        assert not exists(other)
        assert "a worker ended with exit code -9" in workers.log.read_text()


async def test_workers_do_not_outlive_their_parent(tmp_path: Path) -> None:
    async with running(tmp_path, KAFKA_BOOTSTRAP_SERVERS=NOBODY) as workers:
        await workers.all_run()
        pids = workers.pids()
        workers.kill()

        async def gone() -> bool:
            return not any(exists(pid) for pid in pids)

        await until(gone, what="the end of the workers")


async def test_reload_reaches_every_worker(tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    secrets.write_text(f"old:{SECRET.decode()}")
    env = {"KAFKA_BOOTSTRAP_SERVERS": NOBODY, "INGRESS_HMAC_SECRETS_FILE": str(secrets)}
    async with running(tmp_path, **env) as workers:
        await workers.all_run()
        workers.send_signal(signal.SIGHUP)  # the file is as before, so nothing else would have it read

        async def both_loaded() -> bool:
            text = await workers.metrics()
            loaded = 'ringover_credentials_reloaded_total{result="loaded",worker="%d"} 1.0'
            return all(loaded % number in text for number in range(WORKERS))

        await until(both_loaded, what="credentials read anew by both workers")
        assert workers.stop() == 0


async def test_spool_of_each_worker_and_none_is_forgotten(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    env = {"KAFKA_BOOTSTRAP_SERVERS": NOBODY, "INGRESS_SPOOL_DIR": str(spool)}
    async with running(tmp_path, **env) as workers:
        await workers.ready()

        async def both_spooled() -> bool:
            assert await workers.post() == 202
            found = re.findall(r'^ringover_spool_records\{worker="\d"\} (\S+)$', await workers.metrics(), re.MULTILINE)
            return len(found) == WORKERS and all(float(count) for count in found)

        await until(both_spooled, what="records in both spools")
        assert re.search(r"^ok, but worker 0: .* records wait in the spool", (await workers.readyz())[1])
        assert workers.stop() == 0
    assert sorted(path.name for path in spool.iterdir()) == ["worker-0", "worker-1"]

    alone = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "ingress"],
        env={**inherited(), **env, "INGRESS_HMAC_SECRETS": "a:b", "LOG_FORMAT": "json"},
        capture_output=True,
        timeout=20,
        check=False,
    )
    assert alone.returncode == 78
    assert f"ringover-ops spool drain --dir {spool / 'worker-0'} --execute".encode() in alone.stdout


@pytest.mark.parametrize("taken", ["INGRESS_PORT", "INGRESS_ADMIN_PORT"])
async def test_taken_port_is_one_clear_failure(tmp_path: Path, taken: str) -> None:
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    env = {**inherited(), "KAFKA_BOOTSTRAP_SERVERS": NOBODY, "INGRESS_HOST": "127.0.0.1", "INGRESS_HMAC_SECRETS": "a:b"}
    ports = {"INGRESS_PORT": str(stable_port()), "INGRESS_ADMIN_PORT": str(stable_port()), taken: str(port)}
    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "ingress", "--workers", "2"],
        env={**env, **ports},
        capture_output=True,
        timeout=20,
        check=False,
        cwd=tmp_path,
    )
    server.close()

    assert ended.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}".encode() in ended.stdout
    assert b"Traceback" not in ended.stdout + ended.stderr
