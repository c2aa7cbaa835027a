"""Credentials change under a running ingress: a rotation that refuses nobody, and files that are of no use."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from schemas.topics import TopicNames
from tests.support.ports import stable_port
from tests.support.processes import Program, Programs
from tests.support.waiting import until
from tests.unit.ingress.serving import BODY, STARTED_PATH, signature

OLD, NEW = b"the-old-secret", b"the-new-secret"
OF_NO_USE = [
    ("", "both empty"),
    ("new:\n", "the value of new is empty"),
    ("no-id-at-all", "entry 1 is not"),
    ("old:one,old:two", "the id old is used more than once"),
    ('old:the-old-secret\nnew:"no-id-at-all"', "the value of new is in quotes"),
    (None, "cannot be read"),
]


class Sender:
    """Posts without pause, signing with one secret, and notes every answer."""

    def __init__(self, url: str, secret: bytes) -> None:
        self.secret = secret
        self.answers: list[tuple[bytes, int]] = []
        self._url = url + STARTED_PATH

    async def run(self, session: aiohttp.ClientSession) -> None:
        while True:
            self.answers.append((self.secret, await self.post(session, self.secret)))

    async def post(self, session: aiohttp.ClientSession, secret: bytes) -> int:
        headers = {"Content-Type": "application/json", "X-Ringover-Signature": signature(BODY, secret)}
        async with session.post(self._url, data=BODY, headers=headers) as response:
            return response.status

    async def more(self, count: int = 20) -> None:
        """Wait for that many further answers to the secret in use now."""
        wanted = self._count() + count

        async def ask() -> bool:
            return self._count() >= wanted

        await until(ask, what="more answers")

    def _count(self) -> int:
        return sum(1 for secret, _ in self.answers if secret == self.secret)


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    file = tmp_path / "secrets"
    write(file, old=OLD)
    return file


@pytest.fixture
def port() -> int:
    return stable_port()


@pytest.fixture
def ingress(
    kafka_bootstrap_servers: str, topics: TopicNames, secrets: Path, port: int, tmp_path: Path
) -> Iterator[Program]:
    programs = Programs(
        {
            "KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap_servers,
            "KAFKA_TOPIC_PREFIX": topics.prefix,
            "INGRESS_HOST": "127.0.0.1",
            "INGRESS_PORT": str(port),
            "INGRESS_HMAC_SECRETS_FILE": str(secrets),
        },
        tmp_path,
    )
    yield programs.ingress()
    programs.close()


@asynccontextmanager
async def sending(sender: Sender) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        task = asyncio.create_task(sender.run(session))
        try:
            yield session
        finally:
            task.cancel()
            await asyncio.wait([task])


async def test_rotation_refuses_nobody_until_the_old_secret_is_gone(ingress: Program, secrets: Path, port: int) -> None:
    await ingress.ready()
    sender = Sender(f"http://127.0.0.1:{port}", OLD)
    async with sending(sender) as session:
        await sender.more()
        write(secrets, old=OLD, new=NEW)
        await reloaded(ingress, "loaded", 1)
        await sender.more()
        sender.secret = NEW
        await sender.more()
        write(secrets, new=NEW)
        await reloaded(ingress, "loaded", 2)
        await sender.more()

        assert {status for _, status in sender.answers} == {202}
        assert await sender.post(session, OLD) == 401
    assert 'ringover_webhook_authenticated_total{key_id="new"}' in await ingress.metrics()


async def test_a_file_of_no_use_leaves_the_old_credentials_active(ingress: Program, secrets: Path, port: int) -> None:
    await ingress.ready()
    sender = Sender(f"http://127.0.0.1:{port}", OLD)
    async with sending(sender):
        for number, (content, reason) in enumerate(OF_NO_USE, 1):
            spoil(secrets, content)
            await reloaded(ingress, "refused", number)
            await sender.more()
            assert reason in ingress.tail(1000)

    assert "no-id-at-all" not in ingress.tail(1000)
    assert {status for _, status in sender.answers} == {202}


def spoil(file: Path, content: str | None) -> None:
    if content is None:
        file.unlink()
    else:
        file.write_text(content)


def write(file: Path, **secrets: bytes) -> None:
    """As an administrator does it: a new file in the place of the old one."""
    beside = file.with_suffix(".new")
    beside.write_text("\n".join(f"{name}:{value.decode()}" for name, value in secrets.items()))
    beside.replace(file)


async def reloaded(ingress: Program, result: str, count: int) -> None:
    pattern = rf'^ringover_credentials_reloaded_total{{result="{result}"}} {count}\.0$'

    async def ask() -> bool:
        assert ingress.running, ingress.tail()
        return re.search(pattern, await ingress.metrics(), re.MULTILINE) is not None

    await until(ask, what=f"credentials {result}")
