"""Runs child processes that cannot outlive us, with their logs. Knows nothing of Kafka or PostgreSQL."""

import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.devstack.errors import AbortedError, DevstackError, ServerDiedError, disk_errors, disk_full

POLL_SECONDS = 0.03
KILL_SECONDS = 10.0  # SIGKILL cannot be refused, but a process in a disk write ends only after it
LOG_TAIL_LINES = 15
DISK_FULL_WORDS = ("No space left on device", "Check free disk space")  # strerror(ENOSPC); PostgreSQL's hint
LOG_TAIL_BYTES = 16_384
PF_EXITING = 0x4  # linux/sched.h
WRAPPER = Path(__file__).with_name("child.py")


@dataclass(frozen=True, slots=True)
class User:
    """Says whom a child runs as, and what it must be able to reach."""

    uid: int = field(default_factory=os.getuid)
    gid: int = field(default_factory=os.getgid)
    must_reach: Path = Path("/")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Holds what every child of one devstack shares."""

    log_dir: Path
    lock_descriptor: int  # inherited, so that the data directory stays locked while any child lives
    aborted: Callable[[], bool]

    def check(self) -> None:
        """Raises `AbortedError` once the caller wants to stop."""
        if self.aborted():
            raise AbortedError("stopped while starting")


@functools.cache
def spawner() -> ThreadPoolExecutor:
    """Makes the one thread that forks all children.

    PR_SET_PDEATHSIG fires when the forking thread ends, not the process (prctl(2)); this one lives as
    long as the process, whichever threads start and stop servers.
    """
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="devstack-spawner")


class Child:
    """Runs one child process with its log file, in a session of its own: Ctrl-C reaches us, not it."""

    def __init__(self, name: str, surroundings: Surroundings, *, death_signal: signal.Signals, user: User) -> None:
        self.name = name
        self.log_path = surroundings.log_dir / f"{name}.log"
        self._surroundings = surroundings
        self._death_signal = death_signal
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self, command: list[str], env: dict[str, str] | None = None) -> None:
        """Starts the command with an empty log."""
        self._surroundings.check()
        with disk_errors(self.log_path):
            log = self.log_path.open("wb")
        with log:
            self._process = spawner().submit(self._spawn, command, log.fileno(), env).result()

    def _spawn(self, command: list[str], log: int, env: dict[str, str] | None) -> subprocess.Popen[bytes]:
        user = self._user
        wrapper = [sys.executable, "-I", "-S", str(WRAPPER), str(os.getpid()), str(int(self._death_signal))]
        return subprocess.Popen(
            [*wrapper, str(user.uid), str(user.gid), str(user.must_reach), "--", *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=env,
            start_new_session=True,
            pass_fds=[self._surroundings.lock_descriptor],
        )

    def wait(self, seconds: float) -> int | None:
        """The exit code once it ends, negative for a signal; None when it still runs after `seconds`."""
        if self._process is None:
            return 0
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def finish(self, seconds: float) -> None:
        """Waits for a command that ends by itself.

        Raises:
            ServerDiedError: it failed or took longer than `seconds`; it is killed on any way out.
        """
        try:
            self.poll_until(lambda: self.pid is None, seconds)
        finally:
            self.stop(signal.SIGKILL, KILL_SECONDS)
        if self.wait(0) != 0:
            raise self.died()

    def poll_until(self, condition: Callable[[], bool], seconds: float) -> None:
        """Waits until `condition` holds.

        Raises:
            ServerDiedError: it does not hold within `seconds`.
            AbortedError: the caller wants to stop.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            self._surroundings.check()
            if time.monotonic() > deadline:
                raise self.died()
            time.sleep(POLL_SECONDS)

    def send(self, number: signal.Signals) -> None:
        """Signals the process if it still runs. Popen reaps under a lock, so a reused pid is never hit."""
        if self._process is not None:
            self._process.send_signal(number)

    def stop(self, number: signal.Signals, seconds: float) -> None:
        """Asks it to end, and after `seconds` makes it."""
        self.send(number)
        if self.wait(seconds) is None:
            self.send(signal.SIGKILL)
            self.wait(KILL_SECONDS)

    def log_tail(self) -> str:
        try:
            data = self.log_path.read_bytes()[-LOG_TAIL_BYTES:]
        except FileNotFoundError:
            return ""
        return "\n".join(data.decode("utf-8", errors="replace").splitlines()[-LOG_TAIL_LINES:])

    def died(self) -> DevstackError:
        """The error that says how it ended, with the tail of its log."""
        tail = self.log_tail()
        if any(words in tail for words in DISK_FULL_WORDS):
            return disk_full(self.log_path.parent)
        return ServerDiedError(f"{self.name} {_how(self.wait(0))}", hint=f"its log is {self.log_path}", log_tail=tail)


def _how(code: int | None) -> str:
    if code is None:
        return "did not become ready in time"
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def is_alive(pid: int) -> bool:
    """Whether the process exists and is no zombie (proc(5): the state follows the command in parentheses)."""
    fields = _stat(pid)
    return fields is not None and fields[0] not in {"Z", "X"}


def is_ending(pid: int) -> bool:
    """Whether the process is gone, or cannot but go: its memory and its children take a while after SIGKILL.

    proc(5): the kernel's flags are the seventh field after the state; SigPnd and ShdPnd are signals that wait.
    """
    fields = _stat(pid)
    if fields is None or fields[0] in {"Z", "X"} or int(fields[6]) & PF_EXITING:
        return True
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return True
    pending = [int(line.split()[1], 16) for line in lines if line.startswith(("SigPnd:", "ShdPnd:"))]
    return any(mask >> (signal.SIGKILL - 1) & 1 for mask in pending)


def _stat(pid: int) -> list[str] | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return stat.rpartition(")")[2].split()
