"""Programs as forks of one process that has done their imports: a start costs hundredths of a second, not half a one.

The tests start programs by the thousand, and most of what a start costs is importing the same libraries again. All else
is as with `python -m MODULE`: a process of its own, with its environment, arguments, output, signals and exit code; the
module runs as `__main__`. What measures a process, or what Python itself reads before it imports anything, needs an
interpreter of its own: see `can_fork`. With TEST_FORKED=0 every program has one.
"""

import asyncio
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import wait
from pathlib import Path

from sandbox.devstack.child import PR_SET_PDEATHSIG, prctl

# Read by Python, by the C library or by OpenSSL before or while a program's first imports run.
_OF_THE_INTERPRETER = ("PYTHON", "LC_", "LANG", "LD_", "SSL_", "MALLOC_")

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.support.preloaded"])


class Fork:
    """One running program, with what the tests use of `subprocess.Popen`."""

    def __init__(
        self, module: str, arguments: Sequence[str], env: Mapping[str, str], *, out: Path, err: Path | None = None
    ) -> None:
        """`python -m module arguments`; what it writes is appended to `out`, errors to `err` if that is given."""
        for path in (out, err or out):
            path.touch()
        become = (module, list(arguments), dict(env), out, err or out)
        # A daemon: tests that crash must not wait for it, nor leave it behind.
        self._process = _context.Process(target=_become, args=become, daemon=True)
        self._process.start()
        self._reading = threading.Lock()  # the exit code can be read once
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self.poll()

    def poll(self) -> int | None:
        with self._reading:
            return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        wait([self._process.sentinel], timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(str(self._process), timeout or 0)
        return code

    async def ended(self) -> int:
        """Wait without holding up the event loop."""
        loop, end = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._process.sentinel, end.set)
        try:
            await end.wait()
        finally:
            loop.remove_reader(self._process.sentinel)
        return self.wait()

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def prepare() -> None:
    """Start the process with the imports, if it does not run yet, and wait until it has them."""
    if _wanted():
        process = _context.Process(target=os.getpid)
        process.start()
        process.join()


def can_fork(env: Mapping[str, str]) -> bool:
    """Whether the environment differs from ours in nothing that has its effect before the program's own code."""
    names = {name for name in (*env, *os.environ) if name.startswith(_OF_THE_INTERPRETER)}
    return _wanted() and all(env.get(name) == os.environ.get(name) for name in names)


def _wanted() -> bool:
    return os.environ.get("TEST_FORKED") != "0"


def _become(module: str, arguments: list[str], env: dict[str, str], out: Path, err: Path) -> None:
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    for path, descriptor in ((out, 1), (err, 2)):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.environ.clear()
    os.environ.update(env)
    sys.argv[1:] = arguments
    runpy.run_module(module, run_name="__main__", alter_sys=True)
