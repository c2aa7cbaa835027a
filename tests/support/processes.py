"""The real programs as child processes, with their logs kept for the failure report."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.support.forked import Fork, can_fork, prepare
from tests.support.ports import stable_port
from tests.support.waiting import until

_OURS = ("KAFKA_", "DATABASE_", "OTEL_")  # the tests' own identity must not leak into the programs


def inherited() -> dict[str, str]:
    """The environment of a program, without what says where the servers are and who asks."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}


class Program:
    """One running program (`python -m module`) with an admin port; forked ones do not import everything anew."""

    def __init__(
        self,
        module: str,
        env: Mapping[str, str],
        *,
        admin_variable: str,
        directory: Path,
        name: str,
        forks: bool = True,
    ) -> None:
        self.admin_port = stable_port()
        self.name = name
        self.log = directory / f"{name}.log"
        env = {**inherited(), **env, admin_variable: str(self.admin_port), "LOG_FORMAT": "json"}
        self.process: subprocess.Popen[bytes] | Fork
        if forks and can_fork(env):
            self.process = Fork(module, (), env, out=self.log)
            return
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module], env=env, stdout=output, stderr=subprocess.STDOUT
            )

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    @property
    def frozen(self) -> bool:
        """Whether the process is stopped by a signal (state T, proc(5))."""
        return Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    async def ready(self, *, seconds: float = 30) -> None:
        """Wait until /readyz answers 200."""

        async def answers() -> bool:
            assert self.running, f"{self.name} ended with {self.process.returncode}:\n{self.tail()}"
            return (await self.readyz())[0] == 200

        await until(answers, seconds=seconds, what=f"readiness of {self.name}")

    async def readyz(self) -> tuple[int, str]:
        """Status (0: no answer) and text of /readyz."""
        return await self._get("readyz")

    async def metrics(self) -> str:
        """The text of /metrics."""
        return (await self._get("metrics"))[1]

    async def _get(self, path: str) -> tuple[int, str]:
        # By hand: tests ask some ten thousand times, and a client library takes a millisecond more for each.
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.admin_port)
            try:
                writer.write(f"GET /{path} HTTP/1.0\r\n\r\n".encode())
                head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            finally:
                writer.close()
        except OSError:
            return 0, ""
        return int(head.split()[1]) if head else 0, body.decode()

    def send_signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        self.process.kill()
        self.process.wait(timeout=10)

    def stop(self, *, seconds: float = 20) -> int:
        """SIGTERM, and the exit code."""
        self.process.terminate()
        return self.process.wait(timeout=seconds)

    def tail(self, lines: int = 30) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


class Programs:
    """Starts programs, and kills what is left at the end of a test.

    `identities`: what a program's own identity adds to `env`, by "ingress", "processor" and "ops". What the command
    line needs is in `self.env`. `forks`: false for who measures memory and time of a program.
    """

    def __init__(
        self,
        env: Mapping[str, str],
        directory: Path,
        identities: Mapping[str, Mapping[str, str]] | None = None,
        *,
        forks: bool = True,
    ) -> None:
        self._forks = forks
        if forks:
            prepare()
        self._common = dict(env)
        self._identities = identities or {}
        self.env = self._env("ops")
        self._directory = directory
        self.all: list[Program] = []

    def processor(self, *, module: str = "processors", **extra: str) -> Program:
        own = {**self._env("processor"), **extra}
        return self._start(module, own, "PROCESSOR_ADMIN_PORT", f"processor-{len(self.all)}")

    def ingress(self, **extra: str) -> Program:
        # Nobody goes elsewhere in a test, except where that is what it is about.
        own = {"INGRESS_LEAVE_SECONDS": "0", "INGRESS_PORT": str(stable_port()), **self._env("ingress"), **extra}
        return self._start("ingress", own, "INGRESS_ADMIN_PORT", f"ingress-{len(self.all)}")

    def _env(self, who: str) -> dict[str, str]:
        return {**self._common, **self._identities.get(who, {})}

    def _start(self, module: str, env: Mapping[str, str], admin_variable: str, name: str) -> Program:
        program = Program(
            module, env, admin_variable=admin_variable, directory=self._directory, name=name, forks=self._forks
        )
        self.all.append(program)
        return program

    def close(self) -> None:
        for program in self.all:
            if program.running:
                program.process.send_signal(signal.SIGCONT)
                program.kill()
