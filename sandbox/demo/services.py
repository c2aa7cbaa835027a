"""Runs the project's own processes as children: one ingress and two processors, waited for, and stopped in order."""

import os
import secrets
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from sandbox.devstack.errors import DataDirInUseError, DevstackError
from sandbox.devstack.locks import file_lock
from sandbox.devstack.ports import HOST, free_port
from sandbox.devstack.processes import Child, Surroundings, User

READY_SECONDS = 30
STOP_SECONDS = 20  # both drain: at most 15 s by default
PROCESSORS = 2
_OURS = ("KAFKA_", "DATABASE_", "INGRESS_", "PROCESSOR_", "LOG_")  # the caller's own settings must not leak in


@dataclass(frozen=True, slots=True)
class Access:
    """Says how to reach the running system; `env` is what every process and `ringover-ops` need."""

    url: str
    secret: str
    token: str
    admin_urls: Mapping[str, str]
    env: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Services:
    """Holds the running processes."""

    access: Access
    children: tuple[Child, ...]

    def dead(self) -> DevstackError | None:
        """The error of a process that ended by itself, if any."""
        return next((child.died() for child in self.children if child.pid is None), None)


@contextmanager
def services(directory: Path, infrastructure: Mapping[str, str], *, aborted: Callable[[], bool]) -> Iterator[Services]:
    """Run the processes while the context is open; logs go to `directory/logs`.

    Raises:
        DevstackError: a process did not become ready; its log's tail is in the error. Nothing is left running.
    """
    log_dir = directory / "logs"
    log_dir.mkdir(parents=True, exist_ok=True)
    secret, token = secrets.token_hex(16), secrets.token_hex(16)
    env = dict(infrastructure) | {
        "INGRESS_HMAC_SECRETS": f"demo:{secret}",
        "INGRESS_BEARER_TOKENS": f"demo-token:{token}",
    }
    with file_lock(directory / "demo.lock", give_up=_refuse) as lock:
        around = Surroundings(log_dir=log_dir, lock_descriptor=lock, aborted=aborted)
        planned = [_Process.ingress(), *(_Process.processor(number) for number in range(1, PROCESSORS + 1))]
        children = tuple(process.child(around) for process in planned)
        access = Access(
            url=f"http://{HOST}:{planned[0].port}",
            secret=secret,
            token=token,
            admin_urls={process.name: f"http://{HOST}:{process.admin_port}" for process in planned},
            env=env,
        )
        try:
            for process, child in zip(planned, children, strict=True):
                child.start([sys.executable, "-m", process.module], _environment(env | process.env()))
            for process, child in zip(planned, children, strict=True):
                _wait_ready(process, child)
            yield Services(access, children)
        finally:
            _stop(children)


@dataclass(frozen=True, slots=True)
class _Process:
    name: str
    module: str
    port: int
    admin_port: int

    @classmethod
    def ingress(cls) -> "_Process":
        return cls("ingress", "ingress", free_port(), free_port())

    @classmethod
    def processor(cls, number: int) -> "_Process":
        return cls(f"processor-{number}", "processors", 0, free_port())

    def child(self, around: Surroundings) -> Child:
        # SIGKILL when we are killed: the system is built to survive it, and nothing may linger.
        return Child(self.name, around, death_signal=signal.SIGKILL, user=User())

    def env(self) -> dict[str, str]:
        if self.module == "ingress":
            return {
                "INGRESS_HOST": HOST,
                "INGRESS_PORT": str(self.port),
                "INGRESS_ADMIN_PORT": str(self.admin_port),
            }
        return {"PROCESSOR_HOST": HOST, "PROCESSOR_ADMIN_PORT": str(self.admin_port)}


def _environment(ours: Mapping[str, str]) -> dict[str, str]:
    others = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return others | dict(ours)


def _wait_ready(process: _Process, child: Child) -> None:
    child.poll_until(lambda: child.pid is None or _is_ready(process.admin_port), READY_SECONDS)
    if child.pid is None:
        raise child.died()


def _is_ready(admin_port: int) -> bool:
    connection = HTTPConnection(HOST, admin_port, timeout=2)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _stop(children: tuple[Child, ...]) -> None:
    for child in children:
        child.send(signal.SIGTERM)  # all at once: they drain side by side
    for child in children:
        child.stop(signal.SIGTERM, STOP_SECONDS)


def _refuse(holder: str) -> None:
    raise DataDirInUseError("the data directory is in use by another demo", hint=f"stop it (pid {holder})")
