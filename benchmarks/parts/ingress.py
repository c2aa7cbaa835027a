"""Measures the ingress: requests a second, latency and CPU beside other ways of taking webhooks.

64 keep-alive connections, bodies of about 250 bytes, one process, uvloop everywhere.
"""

import functools
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import load
from benchmarks.bench import Bench, Row, Subject, attempt, interleave
from benchmarks.children import ROOT, check, running, wait_until
from benchmarks.errors import BenchError
from benchmarks.kafka import Offsets
from benchmarks.load import Load
from benchmarks.programs import Place, ingress, make_topics
from benchmarks.stats import Figures, cpu_per, medians
from benchmarks.workload import SECRET, started
from sandbox.devstack.ports import HOST, free_port
from sandbox.devstack.processes import Child

PARTITIONS = 12
BODIES = started(2000)
OURS = "ours"
STORE_SECONDS = 20.0

Drive = Callable[[int, float], Load]  # a port, and for how many seconds


@dataclass(frozen=True, slots=True)
class Peer:
    """Is another way of taking webhooks; `python` is the interpreter whose environment has what it needs."""

    name: str
    title: str
    module: str
    stores: bool = True
    python: Path = Path(sys.executable)


BENCH_PYTHON = ROOT / ".venv-bench" / "bin" / "python"
LIGHT = (
    Peer("bare", "aiohttp alone: reads the body, answers 204", "aiohttp_bare", stores=False),
    Peer("aiokafka", "aiohttp + aiokafka, send_and_wait", "aiohttp_aiokafka"),
    Peer("confluent", "aiohttp + confluent-kafka", "aiohttp_confluent"),
)
HEAVY = (Peer("fastapi", "FastAPI + aiokafka", "fastapi_aiokafka", python=BENCH_PYTHON),)
PEERS = {"all": (*LIGHT, *HEAVY), "light": LIGHT, "none": ()}


def run(bench: Bench) -> dict[str, object]:
    """Measure everybody at full speed, in turns; then ours at half of its own maximum, by the clock."""
    place = Place(bench.servers, "ingress.")
    make_topics(place, PARTITIONS)
    peers = PEERS[bench.plan.peers]
    for peer in peers:
        if peer.stores:
            bench.kafka.create(_topic(peer), PARTITIONS)
    full = functools.partial(_full_speed, bench)
    subjects = [Subject(OURS, "ours: ringover-ingress", True, lambda _round: _ours(bench, place, full))]
    subjects += [Subject(peer.name, peer.title, False, functools.partial(_peer, bench, peer, full)) for peer in peers]
    rows = interleave(bench, subjects, bench.plan.rounds)
    return {"rows": [row.as_json() for row in rows], "half": _half(bench, place, rows)}


def _half(bench: Bench, place: Place, rows: list[Row]) -> list[dict[str, object]]:
    """Nothing when ours gave no maximum."""
    ours = next(row for row in rows if row.name == OURS)
    if not ours.rounds:
        return []
    rate = medians(list(ours.rounds.values()))["rate"] / 2
    bench.say(f"at half of that, {rate:,.0f}/s by the clock")
    drive = functools.partial(_constant, bench, rate)
    subject = Subject(OURS, "ours: ringover-ingress", True, lambda _round: _ours(bench, place, drive))
    row = Row(subject.name, subject.title, ours=True, at={"rate": round(rate)})
    for number in range(1, bench.plan.rounds + 1):
        attempt(bench, row, subject, number, bench.plan.rounds)
    return [row.as_json()]


def _full_speed(bench: Bench, port: int, seconds: float) -> Load:
    return load.full_speed(port, BODIES, seconds, bench.servers.directory)


def _constant(bench: Bench, rate: float, port: int, seconds: float) -> Load:
    return load.at_rate(port, BODIES, rate, seconds, bench.servers.directory)


def _ours(bench: Bench, place: Place, drive: Drive) -> Figures:
    before = bench.kafka.ends([place.topics.raw])
    with ingress(place, bench.servers.directory / "spool") as server:

        def spooled() -> int:
            wait_until(lambda: server.metric("ringover_spool_records") == 0, STORE_SECONDS, "the spool to be empty")
            return int(server.metric("ringover_spool_drained_total"))

        return _measure(bench, server.child, functools.partial(drive, server.port), before, spooled)


def _peer(bench: Bench, peer: Peer, drive: Drive, _round: int) -> Figures:
    before = bench.kafka.ends([_topic(peer)]) if peer.stores else {}
    with _serving(bench, peer) as (child, port):
        return _measure(bench, child, functools.partial(drive, port), before)


@contextmanager
def _serving(bench: Bench, peer: Peer) -> Iterator[tuple[Child, int]]:
    if not peer.python.exists():
        raise BenchError(f"{peer.title} needs .venv-bench: run it by `make bench`")
    port = free_port()
    env = {
        "BENCH_PORT": str(port),
        "BENCH_TOPIC": _topic(peer),
        "BENCH_SECRET": SECRET,
        "KAFKA_BOOTSTRAP_SERVERS": bench.servers.bootstrap_servers,
    }
    command = [str(peer.python), "-m", f"benchmarks.peers.{peer.module}"]
    with running(bench.servers, peer.name, command, env, lambda: _listens(port)) as child:
        yield child, port


def _measure(
    bench: Bench,
    child: Child,
    drive: Callable[[float], Load],
    before: Offsets,
    spooled: Callable[[], int] = lambda: 0,
) -> Figures:
    """Warm up, then measure; what was answered must be what is stored.

    `spooled` says how many records went through a spool: Kafka may have got each of them before, too.

    Raises:
        BenchError: it is not.
    """
    warm = drive(bench.plan.warmup_seconds)
    check(child)
    used = bench.cpu([child])
    measured = drive(bench.plan.seconds)
    check(child)
    used = {name: seconds - used[name] for name, seconds in bench.cpu([child]).items() if name != "postgres"}
    used["generator"] = measured.cpu_seconds
    if before:
        _verify(bench, before, [warm, measured], spooled())
    return measured.figures() | cpu_per(used, measured.answered)


def _verify(bench: Bench, before: Offsets, loads: list[Load], spooled: int) -> None:
    answered = sum(one.answered for one in loads)
    most = answered + spooled + sum(one.unanswered for one in loads)

    def complete() -> bool:
        return _count(bench, before) >= answered

    wait_until(complete, STORE_SECONDS, f"the {answered} webhooks answered 2xx to be in the topic")
    stored = bench.kafka.read_records(before)
    if not answered <= stored.total() <= most:
        raise BenchError(f"{answered} webhooks answered 2xx, {stored.total()} stored, at most {most} could be")
    foreign = stored.keys() - {event.call_id.encode() for event in BODIES}
    if foreign:
        raise BenchError(f"{len(foreign)} keys that nobody sent")


def _count(bench: Bench, before: Offsets) -> int:
    ends = bench.kafka.ends({topic for topic, _partition in before})
    return sum(ends.values()) - sum(before.values())


def _topic(peer: Peer) -> str:
    return f"peer.{peer.name}"


def _listens(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=1):
            return True
    except OSError:
        return False
