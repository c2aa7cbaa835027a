"""Gives every part the plan and the servers, and runs rounds in turn that lose nothing when one fails."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaException
from psycopg import Error as DatabaseError

from benchmarks.cpu import process_cpu, tree_cpu, tree_resident
from benchmarks.database import Databases
from benchmarks.errors import BenchError
from benchmarks.kafka import Kafka
from benchmarks.plan import Plan
from benchmarks.servers import Servers
from benchmarks.stats import Figures, medians
from sandbox.devstack.errors import DevstackError
from sandbox.devstack.processes import Child

# What makes a round fail, and not the run.
FAILURES = (BenchError, DevstackError, KafkaException, DatabaseError, OSError, ValueError)


@dataclass(frozen=True, slots=True)
class Bench:
    """Holds what one run works with."""

    plan: Plan
    servers: Servers
    kafka: Kafka
    databases: Databases
    say: Callable[[str], None]
    deadline: float  # of time.monotonic()
    filled: set[str] = field(default_factory=set)  # topics and databases that need not be made again

    def cpu(self, children: Iterable[Child]) -> dict[str, float]:
        """CPU seconds used so far by measured programs together, and by the servers."""
        pids = [child.pid for child in children]
        return {
            "program": sum(tree_cpu(pid) for pid in pids if pid is not None),
            "broker": process_cpu(self.servers.kafka_pid),  # a hundred threads and no children
            "postgres": tree_cpu(self.servers.postgres_pid),
        }

    def check_time(self) -> None:
        """Raises BenchError when nothing new may begin."""
        if time.monotonic() > self.deadline:
            raise BenchError(f"not begun: the run's {self.plan.minutes:g} minutes are over")


def resident(children: Iterable[Child]) -> int:
    """Resident bytes of measured programs together."""
    return sum(tree_resident(child.pid) for child in children if child.pid is not None)


@dataclass(frozen=True, slots=True)
class Subject:
    """Is one program that is measured: `run(round)` gives the figures of one round."""

    name: str
    title: str
    ours: bool
    run: Callable[[int], Figures]


@dataclass(slots=True)
class Row:
    """Holds what came of a subject: the figures of the rounds that succeeded, by number, and why others did not."""

    name: str
    title: str
    ours: bool
    rounds: dict[int, Figures] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    at: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """For the results."""
        return {
            "name": self.name,
            "title": self.title,
            "ours": self.ours,
            **({"at": dict(self.at)} if self.at else {}),
            "median": medians(list(self.rounds.values())),
            "rounds": self.rounds,
            "failures": self.failures,
        }


def interleave(bench: Bench, subjects: Sequence[Subject], rounds: int) -> list[Row]:
    """Run every subject once, then all again (A B A B), so that what else the machine does meets all alike."""
    rows = {subject.name: Row(subject.name, subject.title, subject.ours) for subject in subjects}
    for number in range(1, rounds + 1):
        for subject in subjects:
            attempt(bench, rows[subject.name], subject, number, rounds)
    return list(rows.values())


def attempt(bench: Bench, row: Row, subject: Subject, number: int, rounds: int) -> None:
    """Run one round of one subject, and note in its row whatever comes of it."""
    try:
        bench.check_time()
        figures = subject.run(number)
    except FAILURES as error:
        row.failures.append(f"round {number}: {str(error) or type(error).__name__}")
        bench.say(f"  {subject.title}, round {number} of {rounds}: FAILED: {error}")
    else:
        row.rounds[number] = figures
        bench.say(f"  {subject.title}, round {number} of {rounds}: {brief(figures)}")


def brief(figures: Figures) -> str:
    """Figures on one line of the terminal."""
    shown = [f"{figures['rate']:,.0f}/s"] if "rate" in figures else []
    shown += [f"p99 {figures['p99_ms']:.1f} ms"] if "p99_ms" in figures else []
    cpu = {name.removeprefix("cpu_"): value for name, value in figures.items() if name.startswith("cpu_")}
    shown += [f"CPU s/100k: {', '.join(f'{name} {value:.2f}' for name, value in cpu.items())}"] if cpu else []
    return ", ".join(shown) or ", ".join(f"{name} {value:,.1f}" for name, value in figures.items())
