"""`ringover-ops` as a process: run to its end, or watched while it runs."""

import asyncio
import json
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from tests.support.forked import Fork, can_fork
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
        env=_environment(env),
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
    if can_fork(whole := _environment(env)):
        ran = await _run_forked(whole, arguments, module, seconds)
    else:
        async with started(env, *arguments, module=module, seconds=seconds) as process:
            out, err = await process.communicate()
        assert process.returncode is not None
        ran = Ran(process.returncode, out.decode(), err.decode())
    assert expect is None or ran.code == expect, f"{ran.code}\n{ran.out}\n{ran.err}"
    assert "Traceback" not in ran.err, ran.err
    return ran


async def _run_forked(env: Mapping[str, str], arguments: Sequence[str], module: str, seconds: float) -> Ran:
    with TemporaryDirectory() as made:
        out, err = Path(made, "out"), Path(made, "err")
        process = Fork(module, arguments, env, out=out, err=err)
        try:
            async with asyncio.timeout(seconds):
                code = await process.ended()
        finally:
            process.kill()
            process.wait()
        return _ran(code, out, err)


def _ran(code: int, out: Path, err: Path) -> Ran:
    return Ran(code, out.read_bytes().decode(), err.read_bytes().decode())


def _environment(env: Mapping[str, str]) -> dict[str, str]:
    return {**inherited(), **env, "NO_COLOR": "1"}
