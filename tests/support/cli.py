"""`ringover-ops` as a process: run to its end, or watched while it runs."""

import asyncio
import json
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from tests.support.processes import inherited

RUN_SECONDS = 60.0


class Ran(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.out, self.err
        return json.loads(self.out)


async def start(env: Mapping[str, str], *arguments: str, module: str = "ops") -> Process:
    """The command, running; `module` may be one with a fault built in."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments),
        env={**inherited(), **env, "NO_COLOR": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


@asynccontextmanager
async def started(
    env: Mapping[str, str], *arguments: str, module: str = "ops", seconds: float = RUN_SECONDS
) -> AsyncIterator[Process]:
    """The command, running, gone at the end; the body may take so many seconds."""
    process = await start(env, *arguments, module=module)
    try:
        async with asyncio.timeout(seconds):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def run(
    env: Mapping[str, str],
    *arguments: str,
    module: str = "ops",
    expect: int | None = None,
    seconds: float = RUN_SECONDS,
) -> Ran:
    """Run the command to its end; with `expect` that must be its exit code."""
    async with started(env, *arguments, module=module, seconds=seconds) as process:
        out, err = await process.communicate()
    assert process.returncode is not None
    ran = Ran(process.returncode, out.decode(), err.decode())
    assert expect is None or ran.code == expect, f"{ran.code}\n{ran.out}\n{ran.err}"
    assert "Traceback" not in ran.err, ran.err
    return ran
