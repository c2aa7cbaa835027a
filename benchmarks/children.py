"""Runs child processes beside the servers: ours, the peers, load generators. They end with this process."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from benchmarks.errors import BenchError
from benchmarks.servers import Servers
from sandbox.devstack.ports import HOST
from sandbox.devstack.processes import Child, User

ROOT = Path(__file__).parents[1]
READY_SECONDS = 60.0
STOP_SECONDS = 25.0
_OURS = ("KAFKA_", "DATABASE_", "INGRESS_", "PROCESSOR_", "LOG_")  # the caller's own settings must not leak in


@contextmanager
def running(
    servers: Servers, name: str, command: list[str], env: Mapping[str, str], ready: Callable[[], bool] | None = None
) -> Iterator[Child]:
    """Run a child process while the context is open, from when it is `ready`; SIGTERM ends it.

    Raises:
        BenchError: it ended before it was ready, or is not in time; the end of its log is in the error.
    """
    child = Child(name, servers.around, death_signal=signal.SIGKILL, user=User())
    child.start(command, environment(env))
    try:
        if ready is not None:
            wait_until(lambda: child.pid is None or ready(), READY_SECONDS, f"{name} to be ready")
        check(child)
        yield child
    finally:
        child.stop(signal.SIGTERM, STOP_SECONDS)


def check(child: Child) -> None:
    """Raises BenchError when a child that should run does not."""
    if child.pid is None:
        raise BenchError(f"{child.died()}\n{child.log_tail()}")


def check_all(children: Iterable[Child]) -> None:
    """Raises BenchError when one of them does not run."""
    for child in children:
        check(child)


def environment(ours: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child; whichever Python runs it finds the benchmark's modules."""
    others = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return others | {"PYTHONPATH": str(ROOT)} | dict(ours)


def wait_until(holds: Callable[[], bool], seconds: float, what: str) -> None:
    """Raises BenchError when it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise BenchError(f"waited {seconds:g} s for {what}")
        time.sleep(0.02)


def answers_ready(admin_port: int) -> bool:
    """Whether /readyz of one of our processes says 200."""
    return admin_answer(admin_port, "/readyz")[0] == 200


def admin_answer(admin_port: int, path: str) -> tuple[int, str]:
    """Status (0: no answer) and text."""
    connection = HTTPConnection(HOST, admin_port, timeout=2)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except (OSError, HTTPException):
        return 0, ""
    finally:
        connection.close()


def python(module: str) -> list[str]:
    """The command that runs a module in the project's own environment."""
    return [sys.executable, "-m", module]


def program(name: str) -> list[str]:
    """One of our commands, as operators start it."""
    return [str(Path(sys.executable).with_name(name))]
