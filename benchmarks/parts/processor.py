"""Measures the processor on a backlog, from cold to the last record, exactly once, beside Kafka Streams and Quix.

Everybody reads the same raw log of 12 partitions. Progress is watched from outside, by the offsets that the group has
committed, so the same clock and the same end hold for all. Afterwards the outputs are read back, read committed, and
must have every key once.
"""

import functools
import os
import shutil
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass

from benchmarks import workload
from benchmarks.bench import Bench, Subject, interleave, resident
from benchmarks.children import ROOT, check_all, running
from benchmarks.errors import BenchError
from benchmarks.kafka import Offsets, differing
from benchmarks.parts.ingress import BENCH_PYTHON
from benchmarks.programs import Place, make_topics, processor
from benchmarks.stats import Figures, Sample, speed
from benchmarks.watch import watch
from sandbox.devstack import wheels
from sandbox.devstack.processes import Child

PARTITIONS = 12
LOG_NAME = "bench"
TEMPLATE = "bench_template"
ROUND_SECONDS = 60.0  # to start
VISIBLE_SECONDS = 10.0
SLOWEST_RATE = 5000.0  # records a second; slower is a failure
SLOW_PREFIX = "slow."
STREAMS = ROOT / "benchmarks" / "peers" / "kafka-streams" / "target"


@dataclass(frozen=True, slots=True)
class Backlog:
    """Is a raw log under a prefix, filled once."""

    prefix: str
    records: int
    partitions: int = PARTITIONS

    @property
    def topic(self) -> str:
        """The raw topic."""
        return f"{self.prefix}ringover.raw.v1"


@dataclass(frozen=True, slots=True)
class Pass:
    """Describes one pass over a backlog."""

    figures: Figures
    samples: list[Sample]


def run(bench: Bench) -> dict[str, object]:
    """Measure everybody in turns."""
    backlog = fill(bench, Backlog("backlog.", bench.plan.records))
    prepare_claims(bench)
    subjects = [Subject("ours", "ours: ringover-processor", True, functools.partial(ours, bench, backlog))]
    if bench.plan.peers == "all":
        slow = fill(bench, Backlog(SLOW_PREFIX, bench.plan.slow_records))
        subjects += [
            Subject("streams", "Kafka Streams, exactly_once_v2", False, functools.partial(_streams, bench, backlog)),
            Subject("quix", "Quix Streams, exactly-once", False, functools.partial(_quix, bench, slow)),
        ]
    rows = interleave(bench, subjects, bench.plan.rounds)
    return {"rows": [row.as_json() for row in rows]}


def fill(bench: Bench, backlog: Backlog) -> Backlog:
    """Make the topics of a backlog and write its raw log, unless that was done before."""
    if backlog.topic in bench.filled:
        return backlog
    bench.say(f"writing {backlog.records:,} raw records, {backlog.partitions} partitions")
    make_topics(Place(bench.servers, backlog.prefix), backlog.partitions)
    bench.kafka.fill(backlog.topic, workload.log(backlog.records))
    bench.filled.add(backlog.topic)
    return backlog


def prepare_claims(bench: Bench, claims: int | None = None, template: str = TEMPLATE) -> None:
    """Make the database that rounds are copies of: with claims of many earlier calls, made up to so many."""
    wanted = bench.plan.claims if claims is None else claims
    if template not in bench.filled:
        bench.databases.create(template)
        bench.filled.add(template)
    if bench.databases.claims(template) < wanted:
        bench.say(f"filling the claim table up to {wanted:,} rows")
        bench.databases.preload(template, wanted, LOG_NAME)


def ours(bench: Bench, backlog: Backlog, name: object, template: str = TEMPLATE) -> Figures:
    """Run one pass of our processor over a backlog, with a copy of the database and a group of its own."""
    with bench.databases.copy(template, f"bench_round_{name}") as url:
        place = place_of(bench, backlog, url, f"ours-{name}")
        return passed(bench, backlog, place.group, place.outputs, lambda: processor(place)).figures


def place_of(bench: Bench, backlog: Backlog, url: str, group: str) -> Place:
    """Say where a processor works on a backlog."""
    return Place(bench.servers, backlog.prefix, url, f"{backlog.prefix}{group}", LOG_NAME)


def passed(
    bench: Bench,
    backlog: Backlog,
    group: str,
    outputs: Iterable[str],
    *starts: Callable[[], AbstractContextManager[Child]],
) -> Pass:
    """Start processes that work in a group, watch them pass a backlog, stop them, and verify what came out.

    Raises:
        BenchError: one died, it took too long, or the outputs do not hold every key exactly once.
    """
    before = bench.kafka.ends(outputs)
    began = time.monotonic()
    with ExitStack() as stack:
        children = [stack.enter_context(start()) for start in starts]
        samples = watch(
            bench.kafka.committed(group, backlog.topic),
            backlog.records,
            look=lambda: (bench.cpu(children), resident(children)),
            check=functools.partial(check_all, children),
            seconds=ROUND_SECONDS + backlog.records / SLOWEST_RATE,
        )
    require_each_once(bench, before, backlog)
    return Pass(speed(samples, began), samples)


def require_each_once(bench: Bench, before: Offsets, backlog: Backlog) -> None:
    """Read the outputs back.

    Raises:
        BenchError: they do not hold every key of the backlog exactly once.
    """
    wanted = workload.keys(backlog.records)
    deadline = time.monotonic() + VISIBLE_SECONDS
    while difference := differing(bench.kafka.read_keys(before), wanted):
        # The broker may show a transaction's offsets before its records.
        if time.monotonic() > deadline:
            raise BenchError(difference)
        time.sleep(1)


def _streams(bench: Bench, backlog: Backlog, number: int) -> Figures:
    jars = [STREAMS / "kafka-streams-peer-1.jar", *sorted((STREAMS / "lib").glob("*.jar"))]
    if len(jars) < 2:
        raise BenchError("the Kafka Streams peer is not built: run it by `make bench`, with Maven and a JDK 17")
    class_path = os.pathsep.join(map(str, jars))
    options = ["--enable-native-access=ALL-UNNAMED", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
    return _peer(bench, backlog, f"streams-{number}", [str(wheels.java()), *options, "-cp", class_path, "peers.Main"])


def _quix(bench: Bench, backlog: Backlog, number: int) -> Figures:
    if not BENCH_PYTHON.exists():
        raise BenchError("the Quix Streams peer needs .venv-bench: run it by `make bench`")
    return _peer(bench, backlog, f"quix-{number}", [str(BENCH_PYTHON), "-m", "benchmarks.peers.quix_streams"])


def _peer(bench: Bench, backlog: Backlog, name: str, command: list[str]) -> Figures:
    """One pass of a peer, with a group, an output and a state of its own, all removed afterwards."""
    output = f"{name}.events"
    bench.kafka.create(output, backlog.partitions)
    state = bench.servers.directory / name
    state.mkdir()
    env = {
        "KAFKA_BOOTSTRAP_SERVERS": bench.servers.bootstrap_servers,
        "BENCH_INPUT": backlog.topic,
        "BENCH_OUTPUT": output,
        "BENCH_GROUP": name,
        "BENCH_STATE_DIR": str(state),
    }
    try:
        return passed(bench, backlog, name, [output], lambda: running(bench.servers, name, command, env)).figures
    finally:
        shutil.rmtree(state, ignore_errors=True)
        bench.kafka.delete(name)
