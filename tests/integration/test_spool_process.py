"""The spool of a real ingress: SIGKILL while it spools, a full disk, and the operators' commands."""

import asyncio
import json
import os
import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from schemas.topics import TopicNames
from tests.support import cli
from tests.support.kafka import Webhook, read_topic
from tests.support.load import Answers, post, post_all
from tests.support.ports import stable_port
from tests.support.processes import Program
from tests.support.signing import SECRET
from tests.support.traffic import ended, started, traffic
from tests.support.waiting import until

NOBODY = "127.0.0.1:1"  # a port that no broker listens on


@asynccontextmanager
async def ingress(
    directory: Path, spool: Path, bootstrap_servers: str, prefix: str
) -> AsyncIterator[tuple[Program, str]]:
    """An ingress with a spool that is ready; its public address."""
    port = stable_port()
    env = {
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": prefix,
        "INGRESS_HOST": "127.0.0.1",
        "INGRESS_PORT": str(port),
        "INGRESS_HMAC_SECRETS": f"test:{SECRET.decode()}",
        "INGRESS_SPOOL_DIR": str(spool),
    }
    program = Program("ingress", env, admin_variable="INGRESS_ADMIN_PORT", directory=directory, name="ingress")
    try:
        await program.ready()
        yield program, f"http://127.0.0.1:{port}"
    finally:
        if program.running:
            program.kill()


async def metric(program: Program, name: str) -> float:
    found = re.search(rf"^{name} (\S+)$", await program.metrics(), re.MULTILINE)
    assert found is not None, name
    return float(found[1])


async def empty(program: Program) -> None:
    async def drained() -> bool:
        return await metric(program, "ringover_spool_records") == 0

    await until(drained, seconds=60, what="an empty spool")


async def first_copies(bootstrap_servers: str, topic: str) -> dict[bytes, list[bytes]]:
    found: dict[bytes, list[bytes]] = {}
    for record in await read_topic(bootstrap_servers, topic):
        of_call = found.setdefault(record.key, [])
        if record.value not in of_call:
            of_call.append(record.value)
    return found


async def test_killed_while_spooling_loses_nothing_that_was_answered(
    kafka_bootstrap_servers: str, topics: TopicNames, tmp_path: Path
) -> None:
    spool = tmp_path / "spool"
    answers = Answers()
    async with ingress(tmp_path, spool, NOBODY, topics.prefix) as (program, url):

        async def some_answers() -> bool:
            return len(answers.accepted) > 200

        async def send() -> None:
            async with aiohttp.ClientSession() as session:
                for number in range(10_000):
                    for webhook in (started(f"call-{number}"), ended(f"call-{number}")):
                        await post(session, url, webhook, answers)

        senders = [asyncio.create_task(send())]
        await until(some_answers, seconds=60, what="200 answers")
        program.kill()
        outcomes = await asyncio.gather(*senders, return_exceptions=True)
        assert all(isinstance(outcome, aiohttp.ClientError) for outcome in outcomes)

    async with ingress(tmp_path, spool, kafka_bootstrap_servers, topics.prefix) as (program, _):
        await empty(program)
        assert program.stop() == 0

    assert answers.refused == []
    wanted: dict[bytes, list[bytes]] = {}
    for webhook in answers.accepted:
        wanted.setdefault(webhook.key.encode(), []).append(webhook.body)
    found = await first_copies(kafka_bootstrap_servers, topics.raw)
    assert {key: bodies for key, bodies in wanted.items() if found.get(key, [])[: len(bodies)] != bodies} == {}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 32 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32m,mode=0700", "tmpfs", str(place)],  # noqa: S607 - found by PATH
        check=False,
        capture_output=True,
    )
    if mounted.returncode != 0:
        pytest.skip(f"mounting is not possible here: {mounted.stderr.decode().strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)  # noqa: S607


async def test_full_disk_refuses_what_does_not_fit_and_keeps_the_rest(
    kafka_bootstrap_servers: str, topics: TopicNames, tmp_path: Path, small_disk: Path
) -> None:
    async with ingress(tmp_path, small_disk, NOBODY, topics.prefix) as (program, url):
        answers = await post_all(url, padded(600), connections=8)
        status, text = await program.readyz()
        assert (status, "full" in text) == (503, True)
        assert await metric(program, "ringover_spool_usable") == 0
        assert program.stop() == 0
    assert program.log.read_text().count('"spool.unavailable"') == 1
    assert {status for status, _ in answers.refused} == {503}
    assert 50 < len(answers.accepted) < 550

    async with ingress(tmp_path, small_disk, kafka_bootstrap_servers, topics.prefix) as (program, _):
        await empty(program)
        assert program.stop() == 0
    found = await first_copies(kafka_bootstrap_servers, topics.raw)
    assert {webhook.key for webhook in answers.accepted} == {key.decode() for key in found}


def padded(count: int) -> list[Webhook]:
    return [
        Webhook("call-started", f"call-{number}", started(f"call-{number}").body + b" " * 50_000)
        for number in range(count)
    ]


async def test_commands_show_export_and_drain_a_spool(
    kafka_bootstrap_servers: str, topics: TopicNames, tmp_path: Path
) -> None:
    spool, file = tmp_path / "spool", tmp_path / "export.jsonl"
    env = {"KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap_servers, "INGRESS_HMAC_SECRETS": "", "DATABASE_URL": ""}
    webhooks = list(traffic(seed=5, calls=100))
    async with ingress(tmp_path, spool, NOBODY, topics.prefix) as (program, url):
        answers = await post_all(url, webhooks, connections=8)
        assert answers.refused == []

        shown = (await cli.run(env, "spool", "show", "--dir", str(spool), "-o", "json", expect=0)).json
        refused = await cli.run(env, "spool", "drain", "--dir", str(spool), "--execute", expect=6)
        assert program.stop() == 0

    assert shown["records"] == len(webhooks)
    assert {row["endpoint"] for row in shown["by_topic"]} == {"call-started", "call-ended", "recording-ready"}
    assert "in use by another process" in refused.err

    await cli.run(env, "spool", "export", "--dir", str(spool), "--file", str(file), expect=0)
    await cli.run(env, "spool", "export", "--dir", str(spool), "--file", str(file), expect=2)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert file.stat().st_mode & 0o777 == 0o600
    assert sorted(line["value"] for line in lines) == sorted(webhook.body.decode() for webhook in webhooks)

    plan = await cli.run(env, "spool", "drain", "--dir", str(spool), expect=0)
    assert "--execute carries it out" in plan.err
    assert await read_topic(kafka_bootstrap_servers, topics.raw) == []
    done = (await cli.run(env, "spool", "drain", "--dir", str(spool), "--execute", "-o", "json", expect=0)).json
    assert done["executed"] is True
    assert done["result"]["sent"] == len(webhooks)
    found = await first_copies(kafka_bootstrap_servers, topics.raw)
    dead = await read_topic(kafka_bootstrap_servers, topics.dead_letter)
    assert len(dead) == len(answers.dead_lettered)
    for key in {webhook.key for webhook in answers.accepted}:
        of_call = [webhook.body for webhook in answers.accepted if webhook.key == key]
        assert found[key.encode()] == list(dict.fromkeys(of_call))

    empty_again = (await cli.run(env, "spool", "show", "--dir", str(spool), "-o", "json", expect=0)).json
    assert empty_again["records"] == 0


async def test_spool_that_cannot_be_used_ends_the_process_with_78(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    env = {
        "KAFKA_BOOTSTRAP_SERVERS": NOBODY,
        "INGRESS_HOST": "127.0.0.1",
        "INGRESS_PORT": str(stable_port()),
        "INGRESS_HMAC_SECRETS": "a:b",
        "INGRESS_SPOOL_DIR": str(tmp_path / "file" / "spool"),
    }
    program = Program("ingress", env, admin_variable="INGRESS_ADMIN_PORT", directory=tmp_path, name="refused")

    assert await asyncio.to_thread(program.process.wait, 30) == 78
    assert "cannot be written" in program.tail()
    assert "Traceback" not in program.tail()


async def test_no_spool_there_is_exit_code_4(tmp_path: Path) -> None:
    missing = await cli.run(os.environ, "spool", "show", "--dir", str(tmp_path), expect=4)

    assert "there is no spool" in missing.err
