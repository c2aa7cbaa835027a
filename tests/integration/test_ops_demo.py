"""The demo as an operator runs it: everything is started, checked, kept, and gone afterwards."""

import asyncio
import re
import signal
import sys
from pathlib import Path
from subprocess import PIPE

import aiohttp
import pytest

DEADLINE_SECONDS = 150


@pytest.mark.timeout(DEADLINE_SECONDS + 10)
async def test_the_demo_passes_its_checks_is_usable_and_leaves_nothing_running(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ops", "demo", "--calls", "20", "--keep", "--data", str(tmp_path / "demo")]
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)
    assert process.stdout is not None
    lines: list[str] = []

    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not lines or "processor-2:" not in lines[-1]:
                line = await process.stdout.readline()
                assert line, await _talk(process)
                lines.append(line.decode())
            urls = re.findall(r"http://127[^ ]+/readyz", "".join(lines))
            while_running = [await _answers(url) for url in urls]
            process.send_signal(signal.SIGTERM)
            await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()

    assert process.returncode == 0
    assert sum(line.startswith("✓") for line in lines) == 12
    assert while_running == [True] * 3
    assert [await _answers(url) for url in urls] == [False] * 3
    assert (tmp_path / "demo" / "logs" / "ingress.log").exists()


async def _answers(url: str) -> bool:
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


async def _talk(process: asyncio.subprocess.Process) -> str:
    _, talk = await process.communicate()
    return talk.decode()
