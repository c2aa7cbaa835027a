"""What the world keeps running: brokers, PostgreSQL, programs; each can be started, signalled and killed."""

import itertools
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sandbox.devstack.processes import Child, Surroundings, User

ROOT = Path(__file__).parents[2]
_OURS = (
    "KAFKA_",
    "DATABASE_",
    "INGRESS_",
    "PROCESSOR_",
    "LOG_",
    "FAULT_",
    "FAILING_",
)  # the caller's settings must not leak in


class Unit(Protocol):
    """One process under supervision. All methods but `start` return soon."""

    @property
    def name(self) -> str:
        """Unique in the world."""
        ...

    @property
    def pid(self) -> int | None:
        """The process while it runs."""
        ...

    def code(self) -> int | None:
        """How it ended, negative for a signal; None while it runs or before its first start."""
        ...

    def start(self) -> None:
        """Begin the next incarnation; may block for long and raise DevstackError."""
        ...

    def send(self, number: signal.Signals) -> None:
        """Signal the process and those that belong to it."""
        ...

    def end(self) -> None:
        """SIGKILL, and wait."""
        ...


@dataclass(frozen=True, slots=True)
class Incarnation:
    """What to run as a program: `python -m` and its words, and variables beyond the usual ones."""

    words: tuple[str, ...]
    env: Mapping[str, str]


class Program:
    """An ingress or a processor. `next` replaces the plain incarnation until it is None again."""

    def __init__(self, name: str, plain: Incarnation, *, admin_port: int, around: Surroundings) -> None:
        self.name = name
        self.admin_port = admin_port
        self.next: Incarnation | None = None
        self.current = plain
        self._plain = plain
        self._around = around
        self._numbers = itertools.count(1)
        self._child: Child | None = None

    @property
    def pid(self) -> int | None:
        """See Unit."""
        return self._child.pid if self._child else None

    @property
    def plain(self) -> bool:
        """Whether what runs is the usual program."""
        return self.current is self._plain

    @property
    def plain_words(self) -> tuple[str, ...]:
        """What `python -m` is given usually."""
        return self._plain.words

    @property
    def frozen(self) -> bool:
        """Whether a signal has stopped it (state T, proc(5))."""
        pid = self.pid
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
        except (FileNotFoundError, ProcessLookupError):
            return False
        return stat.rpartition(")")[2].split()[0] == "T"

    @property
    def log(self) -> Path:
        """The log of the current incarnation."""
        assert self._child is not None, "not started yet"
        return self._child.log_path

    def code(self) -> int | None:
        """See Unit."""
        return self._child.wait(0) if self._child else None

    def start(self) -> None:
        """See Unit."""
        self.current = self.next or self._plain
        name = f"{self.name}-{next(self._numbers)}"
        child = Child(name, self._around, death_signal=signal.SIGKILL, user=User())
        child.start([sys.executable, "-m", *self.current.words], self._environment())
        self._child = child

    def send(self, number: signal.Signals) -> None:
        """See Unit."""
        if self._child is not None:
            self._child.send(number)

    def end(self) -> None:
        """See Unit."""
        if self._child is not None:
            self._child.stop(signal.SIGKILL, 0)

    def _environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        ours = {"PYTHONPATH": str(ROOT), "LOG_FORMAT": "json"}
        return {**inherited, **ours, **self._plain.env, **self.current.env}
